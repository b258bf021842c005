"""Adding maps of several resolutions at the finest one, instead of concatenating them.

A 1x1 convolution of resized, concatenated maps is a sum of resized 1x1 convolutions: resizing is
linear over pixels and the convolution over channels, so they commute. Each level's convolution runs
at its own resolution, which for the usual strides 4, 8, 16 and 32 saves two thirds of the products.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_custom.models.layers.row_blocks import row_blocks


def resize(level: Tensor, size: Sequence[int], mode: str, align_corners: bool | None) -> Tensor:
    """Resize a map (N, C, h, w) to ``size``; modes without corners ignore ``align_corners``."""
    corners = align_corners if mode in ('bilinear', 'bicubic') else None
    return F.interpolate(level, size, mode=mode, align_corners=corners)


def add_resized(
    finest: Tensor, coarser: Sequence[Tensor], mode: str, align_corners: bool | None
) -> Tensor:
    """Add maps resized to the size of the finest one.

    Args:
        finest: float map of shape (N, C, H, W).
        coarser: float maps of shape (N, C, h, w) each.
        mode: interpolation as in :func:`torch.nn.functional.interpolate`.
        align_corners: as there; ignored by modes that have no corners.

    Returns:
        Map of shape (N, C, H, W), in the memory format of the maps.
    """
    total = finest
    for level in coarser:
        # In place on the new map: on a view, autograd would copy its gradient to NCHW.
        total = resize(level, finest.shape[2:], mode, align_corners).add_(total)
    return total


def decode_by_rows(
    finest: Tensor,
    coarser: Sequence[Tensor],
    project: Callable[[Tensor], Tensor],
    finish: Callable[[Tensor], Tensor],
    mode: str,
    align_corners: bool | None,
) -> Tensor:
    """Compute ``finish(project(finest) + resized coarser)`` a few rows at a time, without gradient.

    On a CPU the wide maps of the finest resolution then never leave the cache. Rows of a resized
    map are a product of a narrow matrix with rows of the coarse map that have their width already.

    Args:
        finest: float map of shape (N, C_in, H, W), channels-last.
        coarser: float maps of shape (N, C, h, w) each.
        project: maps pixels of shape (P, C_in) to (P, C).
        finish: maps pixels of shape (P, C), which it may overwrite, to (P, K).
        mode: interpolation as in :func:`torch.nn.functional.interpolate`.
        align_corners: as there; ignored by modes that have no corners.

    Returns:
        Channels-last map of shape (N, K, H, W).
    """
    batch, _, height, width = finest.shape
    pixels = finest.permute(0, 2, 3, 1)
    stretched = [_stretch(level, width, mode, align_corners) for level in coarser]
    heights = [level.shape[2] for level in coarser]
    columns = [_row_weights(rows, height, mode, align_corners, finest.dtype) for rows in heights]
    out = None
    for sample in range(batch):
        for top, bottom in row_blocks(height, width * coarser[0].shape[1]):
            block = project(pixels[sample, top:bottom].flatten(0, 1))
            rows = block.view(bottom - top, -1)
            for level, (weights, first, last) in zip(stretched, columns, strict=True):
                begin, end = min(first[top:bottom]), max(last[top:bottom]) + 1
                rows.addmm_(weights[top:bottom, begin:end], level[sample, begin:end])
            result = finish(block)
            if out is None:
                out = result.new_empty(batch, height, width, result.shape[1])
            out[sample, top:bottom].view(result.shape).copy_(result)
    return out.permute(0, 3, 1, 2)


def _stretch(level: Tensor, width: int, mode: str, align_corners: bool | None) -> Tensor:
    """Resize the rows of a map (N, C, h, w) to ``width``; returns (N, h, width * C)."""
    batch, channels, height, _ = level.shape
    # Each row is a sample of its own, because PyTorch's kernel has one thread per sample.
    rows = level.permute(0, 2, 3, 1).flatten(0, 1).unsqueeze(1).permute(0, 3, 1, 2)
    wide = resize(rows, (1, width), mode, align_corners).permute(0, 2, 3, 1)
    return wide.reshape(batch, height, width * channels)


@lru_cache(maxsize=64)
def _row_weights(
    size: int, new_size: int, mode: str, align_corners: bool | None, dtype: torch.dtype
) -> tuple[Tensor, list[int], list[int]]:
    """The matrix (new_size, size) that resizes a column, and each row's first and last non-zero."""
    with torch.inference_mode(False), torch.no_grad():
        unit_columns = torch.eye(size, dtype=dtype).view(1, size, size, 1)
        weights = resize(unit_columns, (new_size, 1), mode, align_corners)[0, :, :, 0].t()
        weights = weights.contiguous()
    used = [row.nonzero().flatten().tolist() for row in weights]
    return weights, [columns[0] for columns in used], [columns[-1] for columns in used]
