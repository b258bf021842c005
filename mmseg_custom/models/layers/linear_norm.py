"""A 1x1 convolution and the batch norm after it as one linear map."""

from math import prod

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def linear_and_norm(conv: ConvModule) -> tuple[Tensor, Tensor | None, nn.Module | None]:
    """Weight and bias of a 1x1 ``ConvModule``, and the norm to apply after them, if one is left.

    A batch norm in eval mode is a constant scale and shift, so it is folded into both.

    Args:
        conv: a 1x1 convolution, perhaps with norm; its activation is the caller's business.

    Returns:
        Weight of shape (C_out, C_in), bias of shape (C_out,) or ``None``, norm or ``None``; weight
        and bias are differentiable.
    """
    weight, bias = conv.conv.weight.flatten(1), conv.conv.bias
    norm = conv.norm if conv.with_norm else None
    if isinstance(norm, _BatchNorm) and not norm.training and norm.running_mean is not None:
        return *_scale_and_shift(weight, bias, norm, norm.running_mean, norm.running_var), None
    return weight, bias, norm


def folds_batch_statistics(conv: ConvModule, level: Tensor) -> bool:
    """Whether :func:`fold_batch_statistics` serves ``conv`` on ``level`` and saves time.

    On a CPU wide maps cost their way to memory. The work grows with the square of the input's
    channels, so there must be fewer than of the output. A batch norm that sees one pixel is left
    to complain, and one that talks to other processes to itself.
    """
    norm = conv.norm if conv.with_norm else None
    if not isinstance(norm, _BatchNorm) or isinstance(norm, nn.SyncBatchNorm):
        return False
    tracked = (norm.running_mean, norm.running_var, norm.num_batches_tracked)
    return (
        norm.training
        and (not norm.track_running_stats or all(value is not None for value in tracked))
        and level.device.type == 'cpu'
        and 2 * level.shape[1] <= conv.conv.out_channels
        and level.shape[0] * prod(level.shape[2:]) > 1
        and not torch.compiler.is_compiling()
    )


def fold_batch_statistics(conv: ConvModule, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias of a 1x1 ``ConvModule`` in training, its batch norm folded into both.

    Mean and variance of ``W x`` over the batch are ``W mean(x)`` and ``diag(W cov(x) W^T)``, so the
    wide map before the norm need not exist. Running statistics are updated as the norm does it.
    Computed in double precision: where a row of W lies in a direction in which x hardly varies,
    the products cancel.

    Args:
        conv: a convolution for which :func:`folds_batch_statistics` holds.
        pixels: its input, of shape (P, C_in), P > 1.

    Returns:
        Weight (C_out, C_in) and bias (C_out,), differentiable, also by ``pixels``.
    """
    norm, dtype = conv.norm, conv.conv.weight.dtype
    with torch.autocast('cpu', enabled=False):
        weight = conv.conv.weight.flatten(1).double()
        bias = None if conv.conv.bias is None else conv.conv.bias.double()
        pixels = pixels.double()
        mean = pixels.mean(0)
        centred = pixels - mean
        covariance = centred.t() @ centred / len(pixels)
        variance = (weight @ covariance * weight).sum(1).clamp_min(0)
        mean = weight @ mean if bias is None else weight @ mean + bias
        if norm.track_running_stats:
            _track(norm, mean.detach(), variance.detach() * (len(pixels) / (len(pixels) - 1)))
        weight, bias = _scale_and_shift(weight, bias, norm, mean, variance)
    return weight.to(dtype), bias.to(dtype)


def _track(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics towards a batch's, as ``norm`` itself does in training."""
    norm.num_batches_tracked.add_(1)
    share = 1 / norm.num_batches_tracked.item() if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean), share)
    norm.running_var.lerp_(variance.to(norm.running_var), share)


def _scale_and_shift(
    weight: Tensor, bias: Tensor | None, norm: _BatchNorm, mean: Tensor, variance: Tensor
) -> tuple[Tensor, Tensor]:
    scale = torch.rsqrt(variance + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -mean if bias is None else bias - mean
    shift = shift * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    return weight * scale[:, None], shift
