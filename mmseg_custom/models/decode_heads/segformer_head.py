"""SegFormer's decoder as mmseg has it: convolution, batch norm and ReLU per level, then fusion.

Paper: SegFormer, section 3.2 (https://arxiv.org/abs/2105.15203). Arguments, state-dict keys and
numbers are those of mmseg's ``mmseg/models/decode_heads/segformer_head.py``. Known difference to
the official code, which is ``SegformerMLPHead`` here: there a level has a linear layer only.

Faster than the stock class: the fusion convolution runs before the resizing (see
:mod:`mmseg_custom.models.layers.fusion`), 1x1 convolutions are matrix products over channels-last
tokens with batch norms folded into them in eval mode, and a CPU decodes a few rows at a time.
"""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads import SegformerHead as UpstreamSegformerHead
from torch import Tensor

from mmseg_custom.models.decode_heads.level_fusion_head import LevelFusionHead
from mmseg_custom.models.layers.linear_norm import (
    fold_batch_statistics,
    folds_batch_statistics,
    linear_and_norm,
)
from mmseg_custom.models.layers.token_map import pixels_to_map, to_pixels
from mmseg_custom.registry import MODELS


@MODELS.register_module()
class SegformerHead(LevelFusionHead, UpstreamSegformerHead):
    """mmseg's ``SegformerHead``, faster; same arguments, keys and numbers.

    Args:
        in_channels: channels of each level, the finest level first.
        channels: width of the decoder.
        in_index: which of the backbone's maps the levels are.
        interpolate_mode: how levels are resized to the first one.
        **kwargs: as in :class:`DecodeHead`.

    Raises:
        ValueError: ``in_channels`` and ``in_index`` are not two lists of one length.
    """

    def _fusion(self) -> tuple[ConvModule, Sequence[int]]:
        return self.fusion_conv, range(len(self.convs))

    def _projection(
        self, number: int, level: Tensor, part: Tensor
    ) -> tuple[Callable[[Tensor], Tensor], None]:
        conv = self.convs[number]
        if folds_batch_statistics(conv, level):
            norm = None
            weight, bias = fold_batch_statistics(conv, to_pixels(level))
        else:
            weight, bias, norm = linear_and_norm(conv)

        def project(pixels: Tensor) -> Tensor:
            x = F.linear(pixels, weight, bias)
            if norm is not None:
                x = norm(pixels_to_map(x, level))
            x = conv.activate(x)
            return F.linear(x if norm is None else to_pixels(x), part)

        return project, None
