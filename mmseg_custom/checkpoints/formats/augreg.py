"""ViT of google-research/vision_transformer as ``.npz``, AugReg's weights among them.

Written by flax: ``Transformer/encoderblock_0/...``. Matrices are stored for multiplication from the
right, attention's with an axis for the heads, so that their number is known. The eps of flax' layer
norm is 1e-6.
"""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from mmseg_custom.checkpoints.formats.description import Weights
from mmseg_custom.checkpoints.formats.openmmlab import to_ours as describe_ours
from mmseg_custom.checkpoints.formats.timm import picture_size
from mmseg_custom.checkpoints.image_processor import HALF

EPS = {'norm': 1e-6}


def _matrix(value: Tensor) -> Tensor:
    return value.T.contiguous()


def _into_heads(value: Tensor) -> Tensor:
    """From (C, heads, C / heads), or its bias, to (C, C) as torch multiplies."""
    return value.flatten() if value.ndim == 2 else value.flatten(1).T.contiguous()


def _out_of_heads(value: Tensor) -> Tensor:
    return value if value.ndim == 1 else value.flatten(0, 1).T.contiguous()


def _patches(value: Tensor) -> Tensor:
    """From (side, side, channels, C) to a convolution's (C, channels, side, side)."""
    return value.permute(3, 2, 0, 1).contiguous()


def _same(value: Tensor) -> Tensor:
    return value


_LAYER = r'Transformer/encoderblock_(\d+)/'
_ATTENTION = f'{_LAYER}MultiHeadDotProductAttention_\\d+/'
_KIND = {'kernel': 'weight', 'scale': 'weight', 'bias': 'bias'}
# Pattern of the name, our name without weight or bias, what becomes of a kernel.
_TABLE: tuple[tuple[str, str, Callable[[Tensor], Tensor]], ...] = (
    (r'embedding/(kernel|bias)', 'backbone.patch_embed.projection', _patches),
    (r'Transformer/encoder_norm/(scale|bias)', 'backbone.ln1', _same),
    (_LAYER + r'LayerNorm_0/(scale|bias)', r'backbone.layers.\1.ln1', _same),
    (_LAYER + r'LayerNorm_2/(scale|bias)', r'backbone.layers.\1.ln2', _same),
    (_LAYER + r'MlpBlock_3/Dense_0/(kernel|bias)', r'backbone.layers.\1.ffn.layers.0.0', _matrix),
    (_LAYER + r'MlpBlock_3/Dense_1/(kernel|bias)', r'backbone.layers.\1.ffn.layers.1', _matrix),
    (_ATTENTION + r'out/(kernel|bias)', r'backbone.layers.\1.attn.attn.out_proj', _out_of_heads),
    (r'head/(kernel|bias)', 'head.fc', _matrix),
)
_QKV = re.compile(_ATTENTION + r'(query|key|value)/(kernel|bias)')
_TOKENS = {
    'cls': 'backbone.cls_token',
    'Transformer/posembed_input/pos_embedding': 'backbone.pos_embed',
}


def recognise(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping) -> bool:
    """Whether the names are flax' for a ViT."""
    return any(name.startswith('Transformer/encoderblock_0/') for name in shapes)


def to_ours(tensors: Mapping[str, Tensor], metadata: Mapping) -> Weights:
    """Rename, transpose, and merge query, key and value.

    Raises:
        ValueError: it is a hybrid with a ResNet before the transformer, or incomplete.
    """
    renamed: dict[str, Tensor] = {}
    qkv: dict[str, dict[str, Tensor]] = {}
    unknown, heads = [], None
    for name, value in tensors.items():
        match = _QKV.fullmatch(name)
        if match is not None:
            layer, part, kind = match.groups()
            ours = f'backbone.layers.{layer}.attn.attn.in_proj_{_KIND[kind]}'
            qkv.setdefault(ours, {})[part] = value
            heads = value.shape[-2]
        elif name in _TOKENS:
            renamed[_TOKENS[name]] = value
        elif not name.startswith('pre_logits/'):
            ours = _renamed(name, value)
            if ours is None:
                unknown.append(name)
            else:
                renamed[ours[0]] = ours[1]
    if unknown:
        raise ValueError(
            f'{len(unknown)} arrays have no counterpart in VisionTransformer (first: '
            f'{unknown[0]}); expected a plain ViT of google-research/vision_transformer, no '
            'hybrid or mixer'
        )
    for ours, parts in qkv.items():
        if len(parts) != 3:
            raise ValueError(f'{ours} needs query, key and value, got {", ".join(parts)} only')
        renamed[ours] = torch.cat([_into_heads(parts[p]) for p in ('query', 'key', 'value')])
    weights = describe_ours(renamed, {})
    description = weights.description
    description.source, description.eps = 'AugReg', dict(EPS)
    description.image_size = picture_size(weights)
    # Pictures are scaled to -1..1.
    (description.mean, description.std), description.heads = HALF, (heads,)
    weights.ignored = [name for name in tensors if name.startswith('pre_logits/')]
    return weights


def _renamed(name: str, value: Tensor) -> tuple[str, Tensor] | None:
    for pattern, ours, change in _TABLE:
        match = re.fullmatch(pattern, name)
        if match is not None:
            kind = match.groups()[-1]
            value = change(value) if kind == 'kernel' else value
            return f'{match.expand(ours)}.{_KIND[kind]}', value
    return None
