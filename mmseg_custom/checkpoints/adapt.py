"""Fitting converted parameters to the model at hand, and describing that model."""

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_custom.checkpoints.formats.description import Description
from mmseg_custom.checkpoints.formats.openmmlab import describe

FIRST_CONVOLUTIONS = (
    'backbone.layers.0.0.projection.weight',
    'backbone.patch_embed.projection.weight',
)
POSITIONS = 'backbone.pos_embed'
PATCH_BIAS = 'backbone.patch_embed.projection.bias'
_WITH_ALIGN_CORNERS = ('linear', 'bilinear', 'bicubic', 'trilinear')


def describe_model(model: nn.Module, prefix: str = '') -> Description:
    """Say what a model is, from its parameters and its layer norms.

    Args:
        model: a segmentor, a classifier, or a backbone alone.
        prefix: what stands before its parameters' names in a segmentor: ``backbone.`` for a
            backbone.
    """
    description = describe(
        {f'{prefix}{name}': tuple(value.shape) for name, value in model.state_dict().items()}
    )
    description.eps = _epsilons(model, prefix, description.family)
    backbone = getattr(model, 'backbone', model)
    heads = getattr(backbone, 'num_heads', None)
    if description.family == 'mit' and isinstance(heads, list | tuple):
        description.heads, description.strides = tuple(heads), tuple(backbone.strides)
    elif description.family == 'vit':
        num_heads = _num_heads(backbone)
        description.heads = () if num_heads is None else (num_heads,)
    if description.head == 'mask':
        description.decoder_heads = _num_heads(model.decode_head)
    preprocessor = getattr(model, 'data_preprocessor', None)
    if isinstance(getattr(preprocessor, 'mean', None), Tensor):
        description.mean = tuple(preprocessor.mean.flatten().tolist())
        description.std = tuple(preprocessor.std.flatten().tolist())
        # mmseg's class and mmengine's name it differently. Pictures are read as BGR.
        converts = getattr(preprocessor, 'channel_conversion', False)
        converts = converts or getattr(preprocessor, '_channel_conversion', False)
        description.channel_order = 'rgb' if converts else 'bgr'
    return description


def _num_heads(transformer: nn.Module) -> int | None:
    attention = getattr(next(iter(transformer.layers), None), 'attn', None)
    return getattr(attention, 'num_heads', None)


def _epsilons(model: nn.Module, prefix: str, family: str | None) -> dict[str, float]:
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm):
            found[_norm_kind(f'{prefix}{name}', family)] = module.eps
    return found


def _norm_kind(name: str, family: str | None) -> str:
    if not name.startswith('backbone.'):
        return 'head_norm'
    if family == 'mit' and re.fullmatch(r'backbone\.layers\.\d+\.0\.norm', name):
        return 'patch_norm'
    return 'sr_norm' if family == 'mit' and name.endswith('.attn.norm') else 'norm'


def adapt(
    state_dict: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    backbone: nn.Module,
    has_patch_bias: bool = False,
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Resize the position embedding and fit the first convolution to the model.

    Args:
        state_dict: converted parameters by the names of a segmentor.
        wanted: the model's own parameters by the same names.
        backbone: says the size of its pictures and how positions are interpolated.
        has_patch_bias: a file without the bias of the patch embedding is incomplete; else the bias
            is zero.

    Returns:
        The parameters, and what was done to which of them.
    """
    adapted, done = dict(state_dict), {}
    if _differ(POSITIONS, state_dict, wanted) and hasattr(backbone, 'interpolate_mode'):
        grid = tuple(side // backbone.patch_size for side in backbone.img_size)
        resized = resize_positions(state_dict[POSITIONS], grid, backbone.interpolate_mode)
        if resized is not None:
            adapted[POSITIONS] = resized
            old = round((state_dict[POSITIONS].shape[1] - 1) ** 0.5)
            done[POSITIONS] = (
                f'resized from {old}x{old} to {grid[0]}x{grid[1]} patches '
                f'({backbone.interpolate_mode})'
            )
    for name in FIRST_CONVOLUTIONS:
        if _differ(name, state_dict, wanted) and state_dict[name].ndim == 4:
            old, new = state_dict[name].shape[1], wanted[name].shape[1]
            adapted[name] = change_channels(state_dict[name], new)
            verb = 'averaged' if new < old else 'inflated'
            done[name] = f'{verb} from {old} to {new} channels'
    lacks_bias = POSITIONS in state_dict and PATCH_BIAS not in state_dict
    if PATCH_BIAS in wanted and lacks_bias and not has_patch_bias:
        adapted[PATCH_BIAS] = torch.zeros_like(wanted[PATCH_BIAS])
        done[PATCH_BIAS] = 'zero: the file has none'
    return adapted, done


def _differ(name: str, state_dict: Mapping, wanted: Mapping) -> bool:
    return name in state_dict and name in wanted and state_dict[name].shape != wanted[name].shape


def resize_positions(positions: Tensor, grid: tuple[int, int], mode: str) -> Tensor | None:
    """Resize a position embedding of a square grid as mmseg does; the class token's stays.

    Args:
        positions: float tensor of shape (1, 1 + side * side, C), the class token first.
        grid: (rows, columns) of patches.
        mode: interpolation as in :func:`torch.nn.functional.interpolate`.

    Returns:
        Tensor of shape (1, 1 + rows * columns, C); None where the grid is not square.
    """
    side = round((positions.shape[1] - 1) ** 0.5)
    if side * side != positions.shape[1] - 1:
        return None
    patches = positions[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    align_corners = False if mode in _WITH_ALIGN_CORNERS else None
    patches = F.interpolate(patches.float(), grid, mode=mode, align_corners=align_corners)
    patches = patches.flatten(2).transpose(1, 2).to(positions.dtype)
    return torch.cat((positions[:, :1], patches), dim=1)


def change_channels(weight: Tensor, num_channels: int) -> Tensor:
    """Fit a convolution to another number of input channels.

    For fewer channels each gets the mean of the old ones, for more the old ones are repeated in
    their order and share their weight, so that a picture with equal channels gives what it gave
    before.

    Args:
        weight: of shape (C_out, C_in, height, width).
        num_channels: the new C_in.
    """
    old = weight.shape[1]
    if num_channels < old:
        return weight.mean(dim=1, keepdim=True).repeat(1, num_channels, 1, 1) * (old / num_channels)
    channels = torch.arange(num_channels) % old
    copies = torch.bincount(channels)[channels]
    return weight[:, channels] / copies.to(weight).view(1, -1, 1, 1)
