"""What both decoders of SegFormer share: levels are projected, resized, added and classified."""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmseg_custom.models.decode_heads.decode_head import DecodeHead
from mmseg_custom.models.layers.fusion import add_resized, decode_by_rows
from mmseg_custom.models.layers.linear_norm import linear_and_norm
from mmseg_custom.models.layers.row_blocks import runs_by_rows
from mmseg_custom.models.layers.token_map import (
    pixels_to_map,
    pointwise,
    pointwise_map,
    to_map,
    to_pixels,
    to_tokens,
)


class LevelFusionHead(DecodeHead):
    """Base of decoders that fuse resized levels with one 1x1 convolution.

    A subclass says which convolution that is, and how a level becomes its share of the sum.

    Arguments are those of :class:`DecodeHead`, with one entry of ``in_channels`` and ``in_index``
    for each level, the finest first.
    """

    @abstractmethod
    def _fusion(self) -> tuple[ConvModule, Sequence[int]]:
        """The fusion convolution, and each level's place in its concatenated input."""

    @abstractmethod
    def _projection(
        self, number: int, level: Tensor, part: Tensor
    ) -> tuple[Callable[[Tensor], Tensor], Tensor | None]:
        """How a level becomes its share of the sum, before it is resized.

        Args:
            number: 0 for the finest level.
            level: float map of shape (N, C_in, h, w).
            part: the level's columns of the fusion, of shape (channels, channels).

        Returns:
            A function from the level's pixels (N * h * w, C_in) to (N * h * w, channels), which in
            eval mode takes any pixels; and a constant (channels,) to add to each, or None.
        """

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Decode the backbone's maps.

        Args:
            inputs: float maps of shape (N, C_i, h_i, w_i), fastest channels-last.

        Returns:
            Logits of shape (N, out_channels, h, w), channels-last, at the size of the first level.

        Raises:
            ValueError: a map is missing or has other channels than ``in_channels`` says.
        """
        levels = self._transform_inputs(inputs)
        fusion, places = self._fusion()
        weight, bias, norm = linear_and_norm(fusion)
        parts = weight.split(self.channels, dim=1)
        projections, constants = [], [bias]
        for number, level in enumerate(levels):
            project, constant = self._projection(number, level, parts[places[number]])
            projections.append(project)
            constants.append(constant)

        by_rows = norm is None and runs_by_rows(self, levels[0]) and not self._drops()
        first = 1 if by_rows and len(levels) > 1 else 0
        maps = [
            pixels_to_map(project(to_pixels(level)), level)
            for project, level in zip(projections[first:], levels[first:], strict=True)
        ]
        constants = [constant for constant in constants if constant is not None]
        if constants:
            # Resizing keeps a constant, and the coarsest level has the fewest pixels.
            maps[-1] = maps[-1] + sum(constants).view(1, -1, 1, 1)
        resizing = self.interpolate_mode, self.align_corners
        if first:
            return decode_by_rows(levels[0], maps, projections[0], self._classify, *resizing)
        fused = add_resized(maps[0], maps[1:], *resizing)
        return self.cls_seg(fusion.activate(fused if norm is None else norm(fused)))

    def _classify(self, pixels: Tensor) -> Tensor:
        """From fused pixels (P, channels), before the activation, to logits (P, out_channels)."""
        return pointwise(self._fusion()[0].activate(pixels), self.conv_seg)

    def cls_seg(self, feat: Tensor) -> Tensor:
        """Classify each pixel of a map (N, channels, h, w); logits (N, out_channels, h, w)."""
        if not self._drops():
            return pointwise_map(feat, self.conv_seg)
        if type(self.dropout) is not nn.Dropout2d:
            return pointwise_map(self.dropout(feat), self.conv_seg)
        # Dropping channels of a picture is the same as dropping them from its classifier, which is
        # far smaller than the map. On ones of this shape dropout draws the same numbers.
        kept = self.dropout(feat.new_ones(*feat.shape[:2], 1, 1)).flatten(1)
        weight = self.conv_seg.weight.flatten(1) * kept[:, None]
        logits = torch.baddbmm(self.conv_seg.bias, to_tokens(feat), weight.transpose(1, 2))
        return to_map(logits, feat.shape[2:])

    def _drops(self) -> bool:
        return self.dropout is not None and self.dropout.training
