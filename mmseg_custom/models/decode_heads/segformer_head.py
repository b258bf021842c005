"""SegFormer's decoder as mmseg has it: convolution, batch norm and ReLU per level, then fusion.

Paper: SegFormer, section 3.2 (https://arxiv.org/abs/2105.15203). Arguments, state-dict keys and
numbers are those of mmseg's ``mmseg/models/decode_heads/segformer_head.py``. Known difference to
the official code, which is :class:`SegformerMLPHead`: there a level has a linear layer only.

Faster than the stock class: the fusion convolution runs before the resizing (see
:mod:`mmseg_custom.models.layers.fusion`), 1x1 convolutions are matrix products over channels-last
tokens, and in eval mode batch norms are folded into them.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads import SegformerHead as UpstreamSegformerHead
from torch import Tensor

from mmseg_custom.models.decode_heads.decode_head import DecodeHead
from mmseg_custom.models.layers.fusion import add_resized, fold_norm, folds
from mmseg_custom.models.layers.levels import check_levels, select_levels
from mmseg_custom.models.layers.token_map import pointwise_map, to_map, to_tokens
from mmseg_custom.registry import MODELS


@MODELS.register_module()
class SegformerHead(DecodeHead, UpstreamSegformerHead):
    """mmseg's ``SegformerHead``, faster; same arguments, keys and numbers.

    Args:
        in_channels: channels of each level, the finest level first.
        channels: width of the decoder.
        in_index: which of the backbone's maps the levels are.
        interpolate_mode: how levels are resized to the first one.
        **kwargs: as in :class:`DecodeHead`.

    Raises:
        ValueError: ``in_channels`` and ``in_index`` have different lengths or do not fit.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        *,
        in_index: Sequence[int],
        interpolate_mode: str = 'bilinear',
        **kwargs,
    ):
        check_levels(in_channels, in_index)
        super().__init__(
            interpolate_mode=interpolate_mode,
            in_channels=in_channels,
            channels=channels,
            in_index=in_index,
            **kwargs,
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Decode the backbone's maps.

        Args:
            inputs: float maps of shape (N, C_i, h_i, w_i), fastest channels-last.

        Returns:
            Logits of shape (N, out_channels, h, w), channels-last, at the size of the first level.

        Raises:
            ValueError: a map is missing or has other channels than ``in_channels`` says.
        """
        return self.cls_seg(self._fuse(select_levels(inputs, self.in_index, self.in_channels)))

    def _fuse(self, levels: Sequence[Tensor]) -> Tensor:
        fusion = self.fusion_conv
        weight, bias = fusion.conv.weight.flatten(1), fusion.conv.bias
        norm = fusion.norm if fusion.with_norm else None
        if folds(norm):
            weight, bias = fold_norm(weight, bias, norm)
            norm = None
        weights = weight.split(self.channels, dim=1)
        fused = []
        for level, conv, part in zip(levels, self.convs, weights, strict=True):
            tokens = to_tokens(_apply(conv, level))
            # The bias is added once, by the finest level.
            fused.append(to_map(F.linear(tokens, part, None if fused else bias), level.shape[2:]))
        x = add_resized(fused[0], fused[1:], self.interpolate_mode, self.align_corners)
        return fusion.activate(x if norm is None else norm(x))

    def cls_seg(self, feat: Tensor) -> Tensor:
        """Classify each pixel of a map (N, channels, h, w); logits (N, out_channels, h, w)."""
        if self.dropout is not None:
            feat = self.dropout(feat)
        return pointwise_map(feat, self.conv_seg)


def _apply(conv: ConvModule, level: Tensor) -> Tensor:
    """Run a 1x1 ``ConvModule`` on a map (N, C_in, h, w) as a matrix product over its pixels."""
    norm = conv.norm if conv.with_norm else None
    if folds(norm):
        weight, bias = fold_norm(conv.conv.weight.flatten(1), conv.conv.bias, norm)
        x = to_map(F.linear(to_tokens(level), weight, bias), level.shape[2:])
    else:
        x = pointwise_map(level, conv.conv)
        x = x if norm is None else norm(x)
    return conv.activate(x) if conv.with_activation else x
