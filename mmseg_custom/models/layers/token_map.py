"""One memory layout for two views: tokens (N, H * W, C) and maps (N, C, H, W).

Contiguous tokens are a map in ``channels_last`` memory format, so changing from one to the other
costs nothing, and a 1x1 convolution is a matrix product over the tokens.
"""

import torch.nn.functional as F
from torch import Tensor, nn


def to_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """View tokens of shape (N, H * W, C) as a channels-last map of shape (N, C, H, W).

    Args:
        tokens: contiguous float tensor, row after row of the map.
        size: (H, W).
    """
    # Not transpose and view: for N = 1 that leaves a batch stride by which PyTorch does not
    # recognise channels_last, and the next convolution copies its input twice.
    return tokens.unflatten(1, size).permute(0, 3, 1, 2)


def to_tokens(feature_map: Tensor) -> Tensor:
    """View a map of shape (N, C, H, W) as tokens of shape (N, H * W, C).

    Copies only if the map is not channels-last.
    """
    return feature_map.permute(0, 2, 3, 1).flatten(1, 2)


def to_pixels(feature_map: Tensor) -> Tensor:
    """View a map of shape (N, C, H, W) as pixels of shape (N * H * W, C), as for tokens."""
    return feature_map.permute(0, 2, 3, 1).flatten(0, 2)


def pixels_to_map(pixels: Tensor, like: Tensor) -> Tensor:
    """View pixels (N * H * W, C) as a channels-last map (N, C, H, W) of the size of ``like``."""
    batch, _, height, width = like.shape
    return pixels.view(batch, height, width, -1).permute(0, 3, 1, 2)


def pointwise(tokens: Tensor, conv: nn.Conv2d) -> Tensor:
    """Apply a 1x1 convolution with stride 1 to tokens (..., C_in); returns (..., C_out)."""
    return F.linear(tokens, conv.weight.flatten(1), conv.bias)


def pointwise_map(feature_map: Tensor, conv: nn.Conv2d) -> Tensor:
    """Apply a 1x1 convolution with stride 1 to a map (N, C_in, H, W); returns (N, C_out, H, W)."""
    return to_map(pointwise(to_tokens(feature_map), conv), feature_map.shape[2:])
