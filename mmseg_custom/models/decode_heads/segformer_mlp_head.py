"""SegFormer's decoder as its authors have it: one linear layer per level, then fusion.

Paper: SegFormer, section 3.2 (https://arxiv.org/abs/2105.15203); official code: NVlabs/SegFormer,
``mmseg/models/decode_heads/segformer_head.py``. The published width is 256 for B0 and B1 and 768
for B2-B5. Hugging Face's ``SegformerDecodeHead`` is the same function. State-dict keys are the
official ones, but the classifier is ``conv_seg`` as in every other head here (officially
``linear_pred``); Hugging Face calls ``linear_c1.proj`` ``linear_c.0.proj`` and has
``linear_fuse.weight``, ``batch_norm`` and ``classifier``.

Nothing stands between a level's linear layer and its slice of the fusion convolution but a
resizing, with which both commute. So each level is one matrix product at its own resolution: with
the product of both matrices where that is cheaper, else with one after the other.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmseg_custom.models.decode_heads.decode_head import DecodeHead
from mmseg_custom.models.layers.fusion import add_resized, fold_norm, folds
from mmseg_custom.models.layers.levels import check_levels, select_levels
from mmseg_custom.models.layers.token_map import pointwise_map, to_map, to_tokens
from mmseg_custom.registry import MODELS


class LevelProjection(nn.Module):
    """Holds the linear layer of one level under the official name ``proj``."""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.proj = nn.Linear(in_channels, channels)


@MODELS.register_module()
class SegformerMLPHead(DecodeHead):
    """The all-MLP decoder of NVlabs' and Hugging Face's SegFormer.

    Args:
        in_channels: channels of each level, the finest level first.
        channels: width of the decoder, published as 256 (B0, B1) and 768 (B2-B5).
        in_index: which of the backbone's maps the levels are.
        interpolate_mode: how levels are resized to the first one.
        norm_cfg: the norm after the fusion.
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
        norm_cfg: dict = dict(type='BN', requires_grad=True),  # noqa: B006
        **kwargs,
    ):
        check_levels(in_channels, in_index)
        super().__init__(
            in_channels=in_channels,
            channels=channels,
            in_index=in_index,
            input_transform='multiple_select',
            norm_cfg=norm_cfg,
            **kwargs,
        )
        self.interpolate_mode = interpolate_mode
        for level, num_channels in enumerate(in_channels, start=1):
            self.add_module(f'linear_c{level}', LevelProjection(num_channels, channels))
        self.linear_fuse = ConvModule(
            channels * len(in_channels), channels, kernel_size=1, norm_cfg=norm_cfg
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
        fusion = self.linear_fuse
        weight, bias = fusion.conv.weight.flatten(1), fusion.conv.bias
        norm = fusion.norm if fusion.with_norm else None
        if folds(norm):
            weight, bias = fold_norm(weight, bias, norm)
            norm = None
        # The coarsest level is concatenated first.
        parts = weight.split(self.channels, dim=1)[::-1]
        fused = []
        for number, (level, part) in enumerate(zip(levels, parts, strict=True), start=1):
            projection = getattr(self, f'linear_c{number}').proj
            tokens = _project(to_tokens(level), projection, part, None if fused else bias)
            fused.append(to_map(tokens, level.shape[2:]))
        x = add_resized(fused[0], fused[1:], self.interpolate_mode, self.align_corners)
        return fusion.activate(x if norm is None else norm(x))

    def cls_seg(self, feat: Tensor) -> Tensor:
        """Classify each pixel of a map (N, channels, h, w); logits (N, out_channels, h, w)."""
        if self.dropout is not None:
            feat = self.dropout(feat)
        return pointwise_map(feat, self.conv_seg)


def _project(tokens: Tensor, projection: nn.Linear, part: Tensor, bias: Tensor | None) -> Tensor:
    """Project tokens (N, L, C_in) and fuse them: ``part @ (projection(tokens)) + bias``.

    Args:
        tokens: float tokens of one level.
        projection: that level's linear layer, to C channels.
        part: that level's columns of the fusion, of shape (C, C).
        bias: of the fusion, of shape (C,), or ``None``.

    Returns:
        Tensor of shape (N, L, C).
    """
    width, num_tokens = len(part), tokens.shape[0] * tokens.shape[1]
    in_channels = projection.in_features
    # Products of the two associations of (part @ projection.weight) @ tokens.
    folded = in_channels * width * (width + num_tokens)
    if folded > num_tokens * width * (in_channels + width):
        return F.linear(projection(tokens), part, bias)
    offset = part @ projection.bias
    return F.linear(tokens, part @ projection.weight, offset if bias is None else offset + bias)
