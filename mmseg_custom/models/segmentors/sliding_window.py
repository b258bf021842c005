"""The grid of windows that a large picture is cut into."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmseg_custom.models.segmentors.block_prediction import LogitMap, LogitPart


@dataclass(frozen=True)
class WindowAxis:
    """Windows along one axis: the last is moved back so that it ends with the picture.

    Attributes:
        starts: first pixel of each window.
        window: pixels of a window; the picture's size where that is smaller.
        size: pixels of the picture.
    """

    starts: tuple[int, ...]
    window: int
    size: int

    @classmethod
    def cover(cls, size: int, window: int, stride: int) -> 'WindowAxis':
        """Cover ``size`` pixels with windows every ``stride`` (1 to ``window``), as mmseg does."""
        window = min(window, size)
        number = max(-(-(size - window) // stride), 0) + 1
        return cls(tuple(min(i * stride, size - window) for i in range(number)), window, size)

    def count(self) -> np.ndarray:
        """Count the windows that cover each pixel: int array of shape (size,)."""
        count = np.zeros(self.size, dtype=np.int64)
        for start in self.starts:
            count[start : start + self.window] += 1
        return count


@dataclass(frozen=True)
class WindowGrid:
    """Windows over a picture, row by row."""

    rows: WindowAxis
    columns: WindowAxis

    @classmethod
    def cover(
        cls, size: tuple[int, int], crop_size: tuple[int, int], stride: tuple[int, int]
    ) -> 'WindowGrid':
        """Cover a picture; every argument is (height, width) in pixels.

        Raises:
            ValueError: a window's size or stride is no pair of positive numbers, or the stride
                leaves gaps.
        """
        _check_pair('crop_size', crop_size, (512, 512))
        _check_pair('stride', stride, tuple(max(side * 2 // 3, 1) for side in crop_size))
        if any(step > side for step, side in zip(stride, crop_size)):
            fix = ','.join(str(max(side * 2 // 3, 1)) for side in crop_size)
            raise ValueError(
                f'model.test_cfg.stride must lie in 1..crop_size, got stride={tuple(stride)} and '
                f'crop_size={tuple(crop_size)}; set "model.test_cfg.stride=({fix})"'
            )
        return cls(*(WindowAxis.cover(*axis) for axis in zip(size, crop_size, stride)))

    @property
    def window_size(self) -> tuple[int, int]:
        """Height and width of each window."""
        return self.rows.window, self.columns.window

    def corners(self) -> list[tuple[int, int]]:
        """Return the first row and column of each window."""
        return [(top, left) for top in self.rows.starts for left in self.columns.starts]

    def crops(self, images: Tensor, batch_size: int) -> Iterator[Tensor]:
        """Cut a batch of images (N, C, H, W) into windows, at most ``batch_size`` at a time.

        Yields:
            Tensors of shape (<= batch_size, C, window height, window width): all windows of the
            first image, then all of the second.

        Raises:
            ValueError: ``batch_size`` is not positive.
        """
        if batch_size < 1:
            raise ValueError(
                f'model.test_cfg.window_batch_size must be at least 1, got {batch_size}; set '
                'model.test_cfg.window_batch_size=1'
            )
        height, width = self.window_size
        windows = [
            image[:, top : top + height, left : left + width]
            for image in images
            for top, left in self.corners()
        ]
        for first in range(0, len(windows), batch_size):
            yield torch.stack(windows[first : first + batch_size])

    def merge(self, logits: list[Tensor], align_corners: bool) -> LogitMap:
        """Describe the average of all windows' logits, each resized to its window.

        Args:
            logits: one float tensor of shape (K, h, w) for each of :meth:`corners`.
            align_corners: as in the head.

        Returns:
            The logits of the picture.
        """
        counts = self.rows.count(), self.columns.count()
        parts = []
        for window, (top, left) in zip(logits, self.corners()):
            resized = LogitMap.from_logits(window, self.window_size, align_corners).parts[0]
            rows = resized.rows.place(top, self.rows.size, counts[0])
            columns = resized.columns.place(left, self.columns.size, counts[1])
            parts.append(LogitPart(window, rows, columns))
        return LogitMap(tuple(parts))


def _check_pair(name: str, value: tuple[int, int], example: tuple[int, int]) -> None:
    """Raise ``ValueError`` unless ``value`` is (height, width); an int is offered as both."""
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    if is_pair and all(isinstance(side, int) and side > 0 for side in value):
        return
    height, width = (value, value) if isinstance(value, int) and value > 0 else example
    raise ValueError(
        f'model.test_cfg.{name} takes (height,width) in pixels, got {value!r}; set '
        f'"model.test_cfg.{name}=({height},{width})"'
    )
