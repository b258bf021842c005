"""ViT and DeiT of timm (PyTorch Image Models), which DeiT's and many other repositories share.

``timm/models/vision_transformer.py``. The eps of the layer norms is 1e-6. Supported is the plain
ViT: class token, learned position embedding, biases in qkv. Everything that changes the function
(layer scale, registers, pre-norm) is refused with its name. Of a distilled DeiT
(``timm/models/deit.py``) the encoder without the distillation token is taken, to train from.
"""

from collections.abc import Mapping
from math import isqrt

import torch
from torch import Tensor

from mmseg_custom.checkpoints.formats.description import Weights, check_side_file
from mmseg_custom.checkpoints.formats.naming import Entry
from mmseg_custom.checkpoints.formats.naming import to_ours as rename
from mmseg_custom.checkpoints.formats.openmmlab import to_ours as describe_ours

EPS = {'norm': 1e-6}


def layer_entries(ours: str, theirs: str) -> tuple[Entry, ...]:
    """The table of one transformer layer, whose names begin with these prefixes."""
    return (
        Entry(f'{ours}.ln1.{{kind}}', f'{theirs}.norm1.{{kind}}'),
        Entry(f'{ours}.attn.attn.in_proj_{{kind}}', f'{theirs}.attn.qkv.{{kind}}'),
        Entry(f'{ours}.attn.attn.out_proj.{{kind}}', f'{theirs}.attn.proj.{{kind}}'),
        Entry(f'{ours}.ln2.{{kind}}', f'{theirs}.norm2.{{kind}}'),
        Entry(f'{ours}.ffn.layers.0.0.{{kind}}', f'{theirs}.mlp.fc1.{{kind}}'),
        Entry(f'{ours}.ffn.layers.1.{{kind}}', f'{theirs}.mlp.fc2.{{kind}}'),
    )


def encoder_entries(theirs: str = '') -> tuple[Entry, ...]:
    """The table of a ViT whose names begin with this prefix."""
    return (
        Entry('backbone.cls_token', f'{theirs}cls_token'),
        Entry('backbone.pos_embed', f'{theirs}pos_embed'),
        Entry('backbone.patch_embed.projection.{kind}', f'{theirs}patch_embed.proj.{{kind}}'),
        *layer_entries('backbone.layers.{layer}', f'{theirs}blocks.{{layer}}'),
        Entry('backbone.ln1.{kind}', f'{theirs}norm.{{kind}}'),
        Entry('head.fc.{kind}', f'{theirs}head.{{kind}}'),
    )


ENTRIES = encoder_entries()
_DISTILLED = (
    'a distilled DeiT: its distillation token, the position of that and both classifiers are left '
    'out, so features differ from those of the file; it is meant to be trained further'
)
# The extra layer before the classifier of ImageNet-21k's weights.
_UNUSED = ('pre_logits.fc.weight', 'pre_logits.fc.bias')


def recognise(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping) -> bool:
    """Whether the names are those of timm's ViT."""
    return 'patch_embed.proj.weight' in shapes and 'blocks.0.attn.qkv.weight' in shapes


def to_ours(tensors: Mapping[str, Tensor], metadata: Mapping) -> Weights:
    """Rename; the joint qkv matrix is stored as here.

    Raises:
        ValueError: it is no plain ViT, or its ``config.json`` belongs to other weights.
    """
    tensors, dropped = _without_distillation(tensors)
    ignored = [*dropped, *(name for name in _UNUSED if name in tensors)]
    renamed, unknown = rename({k: v for k, v in tensors.items() if k not in ignored}, ENTRIES)
    refuse_unknown(unknown, 'timm')
    weights = describe_ours(renamed, {})
    description = weights.description
    description.source, description.eps, weights.ignored = 'timm', dict(EPS), ignored
    if dropped:
        weights.notes.append(_DISTILLED)
        description.num_classes = len(dropped.get('head.weight', ())) or None
    config = metadata.get('config') or {}
    trained = config.get('pretrained_cfg') or {}
    description.image_size = picture_size(weights, trained.get('input_size'))
    found = {'num_features': description.dims[0], 'num_classes': description.num_classes}
    check_side_file('config.json', config, found if trained else {})
    if trained.get('mean') and trained.get('std'):
        description.mean = tuple(255 * value for value in trained['mean'])
        description.std = tuple(255 * value for value in trained['std'])
    return weights


def _without_distillation(
    tensors: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split a distilled DeiT into a plain encoder and what belongs to its second token.

    Its classifiers were trained to be averaged, so that neither is of use alone. The tokens are in
    the order class, distillation, patches.
    """
    if 'dist_token' not in tensors:
        return dict(tensors), {}
    dropped = {
        name: value
        for name, value in tensors.items()
        if name == 'dist_token' or name.startswith(('head.', 'head_dist.'))
    }
    kept = {name: value for name, value in tensors.items() if name not in dropped}
    if 'pos_embed' in kept:
        positions = kept['pos_embed']
        kept['pos_embed'] = torch.cat((positions[:, :1], positions[:, 2:]), dim=1)
    return kept, dropped


def picture_size(weights: Weights, said: object = None) -> tuple[int, int] | None:
    """Height and width in pixels that a ViT's positions are made for.

    Args:
        weights: by our names.
        said: list that ends in the height and width by a file beside them; weights that were
            trained further at another size may keep what it said of the first.

    Returns:
        What is said where the positions are that many, else a square if they fill one, else None.

    Raises:
        ValueError: there are no positions.
    """
    side = weights.description.patch_size
    if side is None:
        raise ValueError('the file is incomplete: it has no position embedding or no patches')
    count = weights.state_dict['backbone.pos_embed'].shape[1] - 1
    if isinstance(said, list | tuple) and all(type(one) is int for one in said) and len(said) > 1:
        height, width = said[-2:]
        if (height // side) * (width // side) == count:
            return height, width
    rows = isqrt(count)
    return (rows * side, rows * side) if rows * rows == count else None


def refuse_unknown(unknown: list[str], source: str) -> None:
    """Raise for parameters that the ViT here does not have.

    Raises:
        ValueError: there are some.
    """
    if not unknown:
        return
    raise ValueError(
        f'{len(unknown)} parameters of {source} have no counterpart in VisionTransformer (first: '
        f'{unknown[0]}); expected a plain ViT or DeiT'
    )
