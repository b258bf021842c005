"""A 1x1 convolution and the batch norm after it as one linear map."""

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
        return *_fold(weight, bias, norm), None
    return weight, bias, norm


def _fold(weight: Tensor, bias: Tensor | None, norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean if bias is None else bias - norm.running_mean
    shift = shift * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    return weight * scale[:, None], shift
