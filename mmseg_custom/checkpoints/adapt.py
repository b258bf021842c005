"""Fitting converted parameters to the model at hand, and describing that model."""

import re
from collections.abc import Mapping, Sequence
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_custom.checkpoints.formats.description import Description, Weights
from mmseg_custom.checkpoints.formats.openmmlab import describe

FIRST_CONVOLUTIONS = (
    'backbone.layers.0.0.projection.weight',
    'backbone.patch_embed.projection.weight',
)
POSITIONS = 'backbone.pos_embed'
PATCH_BIAS = 'backbone.patch_embed.projection.bias'
# Sources whose patch embeddings always have a bias; elsewhere one that is missing is zero.
_WITH_PATCH_BIAS = ('AugReg', 'timm', 'rstrudel')
_WITH_ALIGN_CORNERS = ('linear', 'bilinear', 'bicubic', 'trilinear')


def describe_model(
    model: nn.Module, prefix: str = '', dataset_meta: Mapping | None = None
) -> Description:
    """Say what a model is, from its parameters and its layer norms.

    Args:
        model: a segmentor, a classifier, or a backbone alone.
        prefix: what stands before its parameters' names in a segmentor: ``backbone.`` for a
            backbone.
        dataset_meta: ``metainfo`` of its data set, which says classes and ``reduce_zero_label``.
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
        num_heads, size = _num_heads(backbone), getattr(backbone, 'img_size', None)
        description.image_size = None if size is None else tuple(size)
        description.heads = () if num_heads is None else (num_heads,)
    if description.head == 'mask':
        description.decoder_heads = _num_heads(model.decode_head)
    dataset_meta = dataset_meta or {}
    description.classes = tuple(dataset_meta.get('classes') or ()) or None
    description.reduce_labels = dataset_meta.get('reduce_zero_label')
    preprocessor = getattr(model, 'data_preprocessor', None)
    if isinstance(getattr(preprocessor, 'mean', None), Tensor):
        description.mean, description.std = (
            # As the config has them: float32 keeps seven digits.
            tuple(float(f'{value:.7g}') for value in numbers.flatten().tolist())
            for numbers in (preprocessor.mean, preprocessor.std)
        )
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
    weights: Weights, wanted: Mapping[str, Tensor], backbone: nn.Module
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Resize the position embedding and fit the first convolution to the model.

    Args:
        weights: converted parameters by the names of a segmentor, with what they are.
        wanted: the model's own parameters by the same names.
        backbone: says the size of its pictures and how positions are interpolated.

    Returns:
        The parameters, and what was done to which of them. Positions stay as they are where it is
        not known how many rows they have.
    """
    state_dict, description = weights.state_dict, weights.description
    adapted, done = dict(state_dict), {}
    if POSITIONS in state_dict and POSITIONS in wanted and hasattr(backbone, 'interpolate_mode'):
        grid, mode = _in_patches(backbone.img_size, backbone), backbone.interpolate_mode
        size = description.image_size
        old = _in_patches(size, backbone) if size else _likely_grid(state_dict[POSITIONS], grid)
        if old not in (None, grid):
            # Interpolation of float16 is not exact.
            positions = state_dict[POSITIONS].to(wanted[POSITIONS].dtype)
            adapted[POSITIONS] = resize_positions(positions, old, grid, mode)
            done[POSITIONS] = (
                f'resized from {old[0]}x{old[1]} to {grid[0]}x{grid[1]} patches ({mode})'
            )
    for name in FIRST_CONVOLUTIONS:
        if _differ(name, state_dict, wanted) and state_dict[name].ndim == 4:
            old, new = state_dict[name].shape[1], wanted[name].shape[1]
            places = _places_of_colours(description, getattr(backbone, 'rgb_channels', None))
            places = places if old == 3 < new else None
            adapted[name] = change_channels(state_dict[name], new, places)
            verb = 'averaged' if new < old else 'inflated'
            done[name] = f'{verb} from {old} to {new} channels'
            if places is not None:
                done[name] += f', the old ones at {places}, elsewhere their mean'
    lacks_bias = POSITIONS in state_dict and PATCH_BIAS not in state_dict
    if PATCH_BIAS in wanted and lacks_bias and description.source not in _WITH_PATCH_BIAS:
        adapted[PATCH_BIAS] = torch.zeros_like(wanted[PATCH_BIAS])
        done[PATCH_BIAS] = 'zero: the file has none'
    return adapted, done


def _in_patches(size: Sequence[int], backbone: nn.Module) -> tuple[int, int]:
    return size[0] // backbone.patch_size, size[1] // backbone.patch_size


def _likely_grid(positions: Tensor, grid: tuple[int, int]) -> tuple[int, int] | None:
    """The model's grid where there are as many positions, else the square that they fill."""
    count = positions.shape[1] - 1
    if count == grid[0] * grid[1]:
        return grid
    side = isqrt(count)
    return (side, side) if side * side == count else None


def _differ(name: str, state_dict: Mapping, wanted: Mapping) -> bool:
    return name in state_dict and name in wanted and state_dict[name].shape != wanted[name].shape


def resize_positions(
    positions: Tensor, old_grid: Sequence[int], grid: Sequence[int], mode: str
) -> Tensor:
    """Resize a position embedding to another grid; the class token's stays as it is.

    Args:
        positions: float tensor of shape (1, 1 + old_rows * old_columns, C), the class token first.
        old_grid: (rows, columns) of patches that it was made for.
        grid: the wanted (rows, columns).
        mode: interpolation as in :func:`torch.nn.functional.interpolate`.

    Returns:
        Tensor of shape (1, 1 + rows * columns, C).

    Raises:
        ValueError: ``positions`` are not those of a class token and ``old_grid``.
    """
    rows, columns = old_grid
    if positions.shape[1] != 1 + rows * columns:
        raise ValueError(
            f'a position embedding for a class token and {rows}x{columns} patches has '
            f'{1 + rows * columns} positions, got {positions.shape[1]}; check img_size and '
            'patch_size against the checkpoint'
        )
    patches = positions[:, 1:].reshape(1, rows, columns, -1).permute(0, 3, 1, 2)
    align_corners = False if mode in _WITH_ALIGN_CORNERS else None
    patches = F.interpolate(patches, tuple(grid), mode=mode, align_corners=align_corners)
    return torch.cat((positions[:, :1], patches.flatten(2).transpose(1, 2)), dim=1)


def _places_of_colours(file: Description, rgb_channels: Sequence[int] | None) -> list[int] | None:
    """Where the file's three channels stand in the model's pictures, in the file's order."""
    if rgb_channels is None or len({*rgb_channels}) < 3:
        return None
    return [*rgb_channels][:: -1 if file.channel_order == 'bgr' else 1]


def change_channels(
    weight: Tensor, num_channels: int, places: Sequence[int] | None = None
) -> Tensor:
    """Fit a convolution to another number of input channels.

    For fewer channels each gets the mean of the old ones; for more the old ones go to ``places``
    and the others get their mean, or they are repeated in their order. They share their weight, so
    that a picture with equal channels gives what it gave before.

    Args:
        weight: of shape (C_out, C_in, height, width).
        num_channels: the new C_in.
        places: of the C_in old channels among more new ones, each once; None repeats them.
    """
    old = weight.shape[1]
    if places is not None:
        filled = weight.mean(dim=1, keepdim=True).repeat(1, num_channels, 1, 1)
        filled[:, list(places)] = weight
        return filled * (old / num_channels)
    if num_channels < old:
        return weight.mean(dim=1, keepdim=True).repeat(1, num_channels, 1, 1) * (old / num_channels)
    channels = torch.arange(num_channels) % old
    copies = torch.bincount(channels)[channels]
    return weight[:, channels] / copies.to(weight).view(1, -1, 1, 1)
