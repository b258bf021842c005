"""SegFormer's decoder as its authors have it: one linear layer per level, then fusion.

Paper: SegFormer, section 3.2 (https://arxiv.org/abs/2105.15203); official code: NVlabs/SegFormer,
``mmseg/models/decode_heads/segformer_head.py``. The published width is 256 for B0 and B1 and 768
for B2-B5. Hugging Face's ``SegformerDecodeHead`` is the same function. State-dict keys are the
official ones, but the classifier is ``conv_seg`` as in every other head here (officially
``linear_pred``). Hugging Face's files say ``linear_c.0.proj`` for ``linear_c1.proj``,
``linear_fuse.weight`` for ``linear_fuse.conv.weight``, ``batch_norm`` for ``linear_fuse.bn`` and
``classifier`` for ``conv_seg``.

Nothing stands between a level's linear layer and its share of the fusion convolution but a
resizing, with which both commute. So a level is one matrix product at its own resolution: with the
product of both matrices where that is cheaper, else with one after the other.
"""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmseg_custom.models.decode_heads.level_fusion_head import LevelFusionHead
from mmseg_custom.registry import MODELS


class LevelProjection(nn.Module):
    """Holds the linear layer of one level under the official name ``proj``."""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.proj = nn.Linear(in_channels, channels)


@MODELS.register_module()
class SegformerMLPHead(LevelFusionHead):
    """The all-MLP decoder of NVlabs' and Hugging Face's SegFormer.

    Args:
        in_channels: channels of each level, the finest level first.
        channels: width of the decoder, published as 256 (B0, B1) and 768 (B2-B5).
        in_index: which of the backbone's maps the levels are.
        interpolate_mode: how levels are resized to the first one.
        norm_cfg: the norm after the fusion.
        **kwargs: as in :class:`DecodeHead`.

    Raises:
        ValueError: ``in_channels`` and ``in_index`` are not two lists of one length.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        *,
        interpolate_mode: str = 'bilinear',
        norm_cfg: dict | None = dict(type='BN', requires_grad=True),  # noqa: B006
        **kwargs,
    ):
        super().__init__(
            in_channels, channels, input_transform='multiple_select', norm_cfg=norm_cfg, **kwargs
        )
        self.interpolate_mode = interpolate_mode
        for level, num_channels in enumerate(in_channels, start=1):
            self.add_module(f'linear_c{level}', LevelProjection(num_channels, channels))
        self.linear_fuse = ConvModule(
            channels * len(in_channels), channels, kernel_size=1, norm_cfg=norm_cfg
        )

    def _fusion(self) -> tuple[ConvModule, Sequence[int]]:
        # The coarsest level is concatenated first.
        return self.linear_fuse, range(len(self.in_channels))[::-1]

    def _projection(
        self, number: int, level: Tensor, part: Tensor
    ) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        linear = getattr(self, f'linear_c{number + 1}').proj
        num_pixels = level.shape[0] * level.shape[2] * level.shape[3]
        width, constant = self.channels, part @ linear.bias
        # In an export the size is a symbol, and the product of the weights a constant.
        known = isinstance(num_pixels, int)
        in_features = linear.in_features
        # Multiplications of (part @ linear.weight) @ x and of part @ (linear.weight @ x), by width.
        if known and in_features * (width + num_pixels) > num_pixels * (in_features + width):
            return lambda pixels: F.linear(F.linear(pixels, linear.weight), part), constant
        weight = part @ linear.weight
        return lambda pixels: F.linear(pixels, weight), constant
