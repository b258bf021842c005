"""Hugging Face's SegFormer: the hub's key names, and those of transformers 5 in memory.

``transformers/models/segformer/modeling_segformer.py`` and ``conversion_mapping.py``. Every layer
norm has torch's default eps of 1e-5; ``layer_norm_eps`` of ``config.json`` is not read there. The
decoder concatenates the coarsest level first, as ``SegformerMLPHead`` here does.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from mmseg_custom.checkpoints.formats.description import Weights, check_heads, check_side_file
from mmseg_custom.checkpoints.formats.naming import Entry
from mmseg_custom.checkpoints.formats.naming import to_ours as rename
from mmseg_custom.checkpoints.formats.openmmlab import to_ours as describe_ours
from mmseg_custom.checkpoints.image_processor import IMAGENET, read_processor

EPS = {'patch_norm': 1e-5, 'sr_norm': 1e-5, 'norm': 1e-5}


def _encoder(layer: str, names: dict[str, str]) -> tuple[Entry, ...]:
    """The encoder's table; ``layer`` is the prefix of a transformer layer's names."""
    stage, ours = 'backbone.layers.{stage}', 'backbone.layers.{stage}.1.{layer}'

    def entry(name: str, theirs: str, layout: str = 'same') -> Entry:
        return Entry(f'{ours}.{name}.{{kind}}', f'{layer}.{names[theirs]}.{{kind}}', layout)

    return (
        Entry(f'{stage}.0.projection.{{kind}}', f'{names["embedding"]}.proj.{{kind}}'),
        Entry(f'{stage}.0.norm.{{kind}}', f'{names["embedding"]}.layer_norm.{{kind}}'),
        entry('norm1', 'norm1'),
        Entry(
            f'{ours}.attn.attn.in_proj_{{kind}}',
            tuple(f'{layer}.{names[part]}.{{kind}}' for part in ('query', 'key', 'value')),
        ),
        entry('attn.attn.out_proj', 'out'),
        entry('attn.sr', 'sr'),
        entry('attn.norm', 'sr_norm'),
        entry('norm2', 'norm2'),
        entry('ffn.layers.0', 'fc1', 'linear'),
        entry('ffn.layers.1', 'conv'),
        entry('ffn.layers.4', 'fc2', 'linear'),
        Entry(f'{stage}.2.{{kind}}', f'{names["norm"]}.{{kind}}'),
    )


def _heads(levels: str) -> tuple[Entry, ...]:
    return (
        Entry('decode_head.linear_c{number}.proj.{kind}', f'decode_head.{levels}.proj.{{kind}}'),
        Entry('decode_head.linear_fuse.conv.{kind}', 'decode_head.linear_fuse.{kind}'),
        Entry('decode_head.linear_fuse.bn.{norm}', 'decode_head.batch_norm.{norm}'),
        Entry('decode_head.conv_seg.{kind}', 'decode_head.classifier.{kind}'),
        Entry('head.fc.{kind}', 'classifier.{kind}'),
    )


# Files of the hub, and what every release of transformers writes.
HUB_ENTRIES = (
    *_encoder(
        'segformer.encoder.block.{stage}.{layer}',
        {
            'embedding': 'segformer.encoder.patch_embeddings.{stage}',
            'norm1': 'layer_norm_1',
            'query': 'attention.self.query',
            'key': 'attention.self.key',
            'value': 'attention.self.value',
            'out': 'attention.output.dense',
            'sr': 'attention.self.sr',
            'sr_norm': 'attention.self.layer_norm',
            'norm2': 'layer_norm_2',
            'fc1': 'mlp.dense1',
            'conv': 'mlp.dwconv.dwconv',
            'fc2': 'mlp.dense2',
            'norm': 'segformer.encoder.layer_norm.{stage}',
        },
    ),
    *_heads('linear_c.{stage}'),
)
# A state dict of a model of transformers 5.
MODEL_ENTRIES = (
    *_encoder(
        'segformer.stages.{stage}.blocks.{layer}',
        {
            'embedding': 'segformer.stages.{stage}.patch_embeddings',
            'norm1': 'layernorm_before',
            'query': 'attention.q_proj',
            'key': 'attention.k_proj',
            'value': 'attention.v_proj',
            'out': 'attention.o_proj',
            'sr': 'attention.sequence_reduction.sequence_reduction',
            'sr_norm': 'attention.sequence_reduction.layer_norm',
            'norm2': 'layernorm_after',
            'fc1': 'mlp.fc1',
            'conv': 'mlp.dwconv.dwconv',
            'fc2': 'mlp.fc2',
            'norm': 'segformer.stages.{stage}.layer_norm',
        },
    ),
    *_heads('linear_projections.{stage}'),
)
_FIRST = ('encoder.patch_embeddings.0.proj.weight', 'stages.0.patch_embeddings.proj.weight')


def recognise(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping) -> bool:
    """Whether the names are those of transformers' SegFormer, of either release."""
    return any(f'{prefix}{name}' in shapes for name in _FIRST for prefix in ('', 'segformer.'))


def to_ours(tensors: Mapping[str, Tensor], metadata: Mapping) -> Weights:
    """Rename; merge query, key and value; read ``config.json`` and the image processor's file.

    Raises:
        ValueError: there are parameters that transformers' SegFormer does not have, or its
            ``config.json`` asks for an activation that MiT does not have here, or the files beside
            it belong to other weights.
    """
    if not any(name.startswith('segformer.') for name in tensors):
        # ``SegformerModel``: the encoder alone.
        tensors = {f'segformer.{name}': value for name, value in tensors.items()}
    entries = HUB_ENTRIES if f'segformer.{_FIRST[0]}' in tensors else MODEL_ENTRIES
    renamed, unknown = rename(tensors, entries)
    if unknown:
        raise ValueError(
            f"the names are like those of Hugging Face's SegFormer, but {len(unknown)} are not "
            f'(first: {unknown[0]}); expected SegformerForSemanticSegmentation or '
            'SegformerForImageClassification'
        )
    weights = describe_ours(renamed, {})
    description = weights.description
    description.source, description.eps = 'Hugging Face', dict(EPS)
    config = metadata.get('config') or {}
    if config.get('hidden_act', 'gelu') != 'gelu':
        raise ValueError(f"config.json has hidden_act='{config['hidden_act']}', expected 'gelu'")
    _compare(config, weights)
    if config.get('num_attention_heads'):
        description.heads = tuple(config['num_attention_heads'])
        check_heads(description.heads, description.dims, 'config.json')
    description.strides = tuple(config.get('strides') or ())
    description.classes = _class_names(config.get('id2label') or {}, description.num_classes)
    if 'preprocessor' in metadata:
        found = read_processor(metadata['preprocessor'])
        if {len(found.mean), len(found.std)} - {1, description.in_channels}:
            raise ValueError(
                f'preprocessor_config.json has image_mean of {len(found.mean)} channels and '
                f'image_std of {len(found.std)}, but the tensors take {description.in_channels}; '
                'take the preprocessor_config.json of this checkpoint'
            )
        description.mean, description.std = found.mean, found.std
        description.image_size, description.reduce_labels = found.size, found.reduce_labels
    elif description.in_channels == 3:
        # The image processor's default.
        description.mean, description.std = IMAGENET
    return weights


def _compare(config: Mapping, weights: Weights) -> None:
    """Raise where ``config.json`` belongs to other weights."""
    found, tensors = weights.description, weights.state_dict
    stages = range(len(found.dims))
    sides = [tensors[f'backbone.layers.{stage}.0.projection.weight'].shape[2] for stage in stages]
    reductions = [tensors.get(f'backbone.layers.{stage}.1.0.attn.sr.weight') for stage in stages]
    shapes = {
        'depths': found.depths,
        'hidden_sizes': found.dims,
        'num_channels': found.in_channels,
        'patch_sizes': tuple(sides),
        'sr_ratios': tuple(1 if one is None else one.shape[2] for one in reductions),
        'decoder_hidden_size': found.width,
    }
    check_side_file('config.json', config, shapes)
    labels = config.get('id2label')
    if labels and found.num_classes not in (None, len(labels)):
        raise ValueError(
            f'config.json names {len(labels)} classes (id2label), but the tensors have '
            f'{found.num_classes}; take the config.json of this checkpoint'
        )


def _class_names(labels: Mapping, num_classes: int | None) -> tuple[str, ...] | None:
    """Names in the order of their indices; None where they are numbered only."""
    names = {int(index): str(name) for index, name in labels.items()}
    if sorted(names) != list(range(num_classes or 0)):
        return None
    if not names or all(re.fullmatch(r'LABEL_\d+', name) for name in names.values()):
        return None
    return tuple(names[index] for index in range(len(names)))
