"""Fusing maps of several resolutions at the finest one, without ever concatenating them.

A 1x1 convolution of resized, concatenated maps is a sum of resized 1x1 convolutions: resizing is
linear over pixels and the convolution over channels, so they commute. Each level's convolution runs
at its own resolution, which for the usual strides 4, 8, 16 and 32 saves two thirds of the products.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def add_resized(
    finest: Tensor, coarser: Sequence[Tensor], mode: str, align_corners: bool | None
) -> Tensor:
    """Add maps resized to the size of the finest one, in place.

    Args:
        finest: float map of shape (N, C, H, W); overwritten.
        coarser: float maps of shape (N, C, h, w) each.
        mode: interpolation as in :func:`torch.nn.functional.interpolate`.
        align_corners: as there; ignored by modes that have no corners.

    Returns:
        ``finest``, of shape (N, C, H, W).
    """
    if mode not in ('bilinear', 'bicubic'):
        align_corners = None
    for level in coarser:
        finest += F.interpolate(level, finest.shape[2:], mode=mode, align_corners=align_corners)
    return finest


def folds(norm: nn.Module | None) -> bool:
    """Whether the norm is a constant scale and shift per channel: batch norm in eval mode."""
    return isinstance(norm, _BatchNorm) and not norm.training and norm.running_mean is not None


def fold_norm(weight: Tensor, bias: Tensor | None, norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Fold a batch norm in eval mode into the linear map before it.

    Args:
        weight: float tensor of shape (C, ...), the output channels first.
        bias: float tensor of shape (C,), or ``None``.
        norm: the norm for which :func:`folds` holds.

    Returns:
        Weight and bias of the same shapes, differentiable.
    """
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean if bias is None else bias - norm.running_mean
    shift = shift * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    return weight * scale.view(-1, *[1] * (weight.ndim - 1)), shift
