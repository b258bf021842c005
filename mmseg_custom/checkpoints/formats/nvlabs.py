"""NVlabs/SegFormer: MiT as pre-trained on ImageNet, and full SegFormers of MMSegmentation 0.x.

Official code: NVlabs/SegFormer, ``mmseg/models/backbones/mix_transformer.py`` and
``mmseg/models/decode_heads/segformer_head.py``. Facts that the tensors do not show: the layer norms
of patch embeddings and spatial reductions have an eps of 1e-5, all others 1e-6; the decoder
concatenates the coarsest level first, as ``SegformerMLPHead`` here does; its inherited ``conv_seg``
is never used. Pictures are normalised with ImageNet's mean and standard deviation.
"""

from collections.abc import Mapping

from torch import Tensor

from mmseg_custom.checkpoints.formats.description import Weights
from mmseg_custom.checkpoints.formats.naming import Entry
from mmseg_custom.checkpoints.formats.naming import to_ours as rename
from mmseg_custom.checkpoints.formats.openmmlab import to_ours as describe_ours
from mmseg_custom.checkpoints.image_processor import IMAGENET

EPS = {'patch_norm': 1e-5, 'sr_norm': 1e-5, 'norm': 1e-6}

_STAGE = 'backbone.layers.{stage}'
_LAYER = 'backbone.layers.{stage}.1.{layer}'
_BLOCK = 'backbone.block{number}.{layer}'
ENTRIES = (
    Entry(f'{_STAGE}.0.projection.{{kind}}', 'backbone.patch_embed{number}.proj.{kind}'),
    Entry(f'{_STAGE}.0.norm.{{kind}}', 'backbone.patch_embed{number}.norm.{kind}'),
    Entry(f'{_LAYER}.norm1.{{kind}}', f'{_BLOCK}.norm1.{{kind}}'),
    Entry(
        f'{_LAYER}.attn.attn.in_proj_{{kind}}',
        (f'{_BLOCK}.attn.q.{{kind}}', f'{_BLOCK}.attn.kv.{{kind}}'),
    ),
    Entry(f'{_LAYER}.attn.attn.out_proj.{{kind}}', f'{_BLOCK}.attn.proj.{{kind}}'),
    Entry(f'{_LAYER}.attn.sr.{{kind}}', f'{_BLOCK}.attn.sr.{{kind}}'),
    Entry(f'{_LAYER}.attn.norm.{{kind}}', f'{_BLOCK}.attn.norm.{{kind}}'),
    Entry(f'{_LAYER}.norm2.{{kind}}', f'{_BLOCK}.norm2.{{kind}}'),
    Entry(f'{_LAYER}.ffn.layers.0.{{kind}}', f'{_BLOCK}.mlp.fc1.{{kind}}', 'linear'),
    Entry(f'{_LAYER}.ffn.layers.1.{{kind}}', f'{_BLOCK}.mlp.dwconv.dwconv.{{kind}}'),
    Entry(f'{_LAYER}.ffn.layers.4.{{kind}}', f'{_BLOCK}.mlp.fc2.{{kind}}', 'linear'),
    Entry(f'{_STAGE}.2.{{kind}}', 'backbone.norm{number}.{kind}'),
    Entry('head.fc.{kind}', 'backbone.head.{kind}'),
    Entry('decode_head.linear_c{number}.proj.{kind}', 'decode_head.linear_c{number}.proj.{kind}'),
    Entry('decode_head.linear_fuse.conv.{kind}', 'decode_head.linear_fuse.conv.{kind}'),
    Entry('decode_head.linear_fuse.bn.{norm}', 'decode_head.linear_fuse.bn.{norm}'),
    Entry('decode_head.conv_seg.{kind}', 'decode_head.linear_pred.{kind}', 'linear'),
)
_UNUSED = ('decode_head.conv_seg.weight', 'decode_head.conv_seg.bias')


def recognise(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping) -> bool:
    """Whether the names are those of NVlabs' MiT, alone or as a segmentor's backbone."""
    return any(
        f'{prefix}patch_embed1.proj.weight' in shapes and f'{prefix}block1.0.norm1.weight' in shapes
        for prefix in ('', 'backbone.')
    )


def to_ours(tensors: Mapping[str, Tensor], metadata: Mapping) -> Weights:
    """Rename; merge q and kv; linear layers of the feed-forward branches become 1x1 convolutions.

    Raises:
        ValueError: there are parameters that MiT does not have, as in PVT's files.
    """
    if 'patch_embed1.proj.weight' in tensors:
        tensors = {f'backbone.{name}': value for name, value in tensors.items()}
    has_classifier = 'decode_head.linear_pred.weight' in tensors
    ignored = [name for name in _UNUSED if name in tensors and has_classifier]
    renamed, unknown = rename({k: v for k, v in tensors.items() if k not in ignored}, ENTRIES)
    if unknown:
        raise ValueError(
            f"the names are like those of NVlabs' MiT, but {len(unknown)} are not (first: "
            f'{unknown[0]}); expected MiT or SegFormer as NVlabs/SegFormer saves them'
        )
    weights = describe_ours(renamed, metadata)
    weights.description.source = 'NVlabs'
    weights.description.eps = dict(EPS)
    if weights.description.in_channels == 3 and weights.description.mean is None:
        weights.description.mean, weights.description.std = IMAGENET
    weights.ignored = ignored
    return weights
