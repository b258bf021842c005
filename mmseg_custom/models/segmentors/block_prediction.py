"""Class maps from low-resolution logits, block by block.

mmseg resizes a head's logits to the network's input, crops the padding, undoes the flip, resizes
to the picture's original size, and only then takes the argmax: for 150 classes and a picture of
4000x3000 that is a tensor of 7.2 GB, several times over. A :class:`LogitMap` holds the logits as
the head gave them (one tensor, or one per sliding window) and the map of each axis that leads to
the picture. It computes any block of the final logits from them, so the argmax needs one block at a
time. The numbers are mmseg's up to rounding, so labels differ only where two classes tie.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmseg_custom.models.segmentors.axis_map import AxisMap, AxisOperator

# A block fits in a CPU core's cache; on a GPU it is large enough to fill the device.
_BLOCK_ELEMENTS = {'cpu': 2**20, 'gpu': 2**26}
_BLOCK_COLUMNS_ON_CPU = 128


@dataclass(frozen=True)
class LogitPart:
    """Logits of the whole picture, or of one window of it.

    Attributes:
        logits: float tensor of shape (K, h, w).
        rows: map of its h rows to the picture's rows.
        columns: map of its w columns to the picture's columns.
    """

    logits: Tensor
    rows: AxisMap
    columns: AxisMap


@dataclass(frozen=True)
class LogitMap:
    """The logits of one picture as a sum of parts, computed where and when they are needed.

    Attributes:
        parts: at least one part; all have the same number of classes, device and dtype.
    """

    parts: tuple[LogitPart, ...]

    @classmethod
    def from_logits(cls, logits: Tensor, size: tuple[int, int], align_corners: bool) -> 'LogitMap':
        """Describe logits of shape (K, h, w), resized bilinearly to ``size`` (height, width)."""
        rows, columns = (AxisMap.identity(length) for length in logits.shape[1:])
        return cls((LogitPart(logits, rows, columns),)).resize(size, align_corners)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of classes, height and width."""
        part = self.parts[0]
        return len(part.logits), len(part.rows), len(part.columns)

    def resize(self, size: tuple[int, int], align_corners: bool) -> 'LogitMap':
        """Resize bilinearly to ``size`` (height, width)."""
        _, height, width = self.shape
        dtype = self.parts[0].logits.dtype
        rows = AxisMap.resize(height, size[0], align_corners, dtype)
        columns = AxisMap.resize(width, size[1], align_corners, dtype)
        return self._map_axes(lambda m: m.then(rows), lambda m: m.then(columns))

    def crop(self, left: int, right: int, top: int, bottom: int) -> 'LogitMap':
        """Remove so many rows and columns from the sides."""
        _, height, width = self.shape
        return self._map_axes(
            lambda m: m.select(slice(top, height - bottom)),
            lambda m: m.select(slice(left, width - right)),
        )

    def flip(self, direction: str) -> 'LogitMap':
        """Mirror the picture.

        Raises:
            ValueError: ``direction`` is neither ``'horizontal'`` nor ``'vertical'``.
        """
        if direction not in ('horizontal', 'vertical'):
            raise ValueError(
                f"flip_direction must be 'horizontal' or 'vertical', got {direction!r}; "
                'set one of them in the pipeline'
            )
        same, mirror = (lambda m: m), (lambda m: m.select(slice(None, None, -1)))
        axes = (same, mirror) if direction == 'horizontal' else (mirror, same)
        return self._map_axes(*axes)

    def logits(self) -> Tensor:
        """Compute the full logits: a tensor of shape (K, H, W), of the dtype of the parts."""
        first = self.parts[0].logits
        out = first.new_empty(self.shape)
        for rows, columns, block in self._blocks():
            out[:, rows, columns] = block.transpose(0, 1)
        return out

    @torch.no_grad()
    def labels(self, observers: Sequence[Callable[[slice, slice, Tensor], None]] = ()) -> Tensor:
        """Compute the class with the largest logit, the first of several: int64 of shape (H, W).

        Args:
            observers: called for each block with its rows, its columns and its logits, of shape
                (rows, K, columns), which they must not change.
        """
        out = torch.empty(self.shape[1:], dtype=torch.int64, device=self.parts[0].logits.device)
        for rows, columns, block in self._blocks():
            for observe in observers:
                observe(rows, columns, block)
            out[rows, columns] = _argmax_of_axis_1(block)
        return out

    def _map_axes(self, rows: Callable, columns: Callable) -> 'LogitMap':
        return LogitMap(
            tuple(
                replace(part, rows=rows(part.rows), columns=columns(part.columns))
                for part in self.parts
            )
        )

    def _block_size(self) -> tuple[int, int]:
        classes, height, width = self.shape
        if self.parts[0].logits.device.type == 'cpu':
            elements, columns = _BLOCK_ELEMENTS['cpu'], min(_BLOCK_COLUMNS_ON_CPU, width)
        else:
            elements, columns = _BLOCK_ELEMENTS['gpu'], width
        return min(max(elements // (classes * columns), 1), height), columns

    def _blocks(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield rows, columns and logits of shape (rows, K, columns) of one block after another.

        Classes lie between rows and columns, so that each axis is one plain matrix product.
        Half precision is computed in single.
        """
        _, height, width = self.shape
        block_height, block_width = self._block_size()
        like = _single_or_double(self.parts[0].logits[:0])
        strips = [slice(c, min(c + block_width, width)) for c in range(0, width, block_width)]
        columns = [
            [part.columns.select(strip).operator(like) for part in self.parts] for strip in strips
        ]
        for r in range(0, height, block_height):
            rows = slice(r, min(r + block_height, height))
            with torch.autocast(like.device.type, enabled=False):
                bands = [_band(part, rows) for part in self.parts]
            for strip, operators in zip(strips, columns):
                with torch.autocast(like.device.type, enabled=False):
                    block = _sum_of_parts(bands, operators)
                yield rows, strip, block


def _band(part: LogitPart, rows: slice) -> Tensor | None:
    """Compute some of the picture's rows, (rows, K, w), with the columns of the part."""
    operator = part.rows.select(rows).operator(_single_or_double(part.logits[:0]))
    if operator is None:
        return None
    logits = part.logits[:, operator.start : operator.stop].transpose(0, 1)
    return operator.on_first_axis(_single_or_double(logits))


def _sum_of_parts(bands: list[Tensor | None], operators: list[AxisOperator | None]) -> Tensor:
    total = None
    for band, operator in zip(bands, operators):
        if band is None or operator is None:
            continue
        block = operator.on_last_axis(band[..., operator.start : operator.stop])
        total = block if total is None else total.add_(block)
    return total


def _single_or_double(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _argmax_of_axis_1(block: Tensor) -> Tensor:
    """Return the first index of the maximum over axis 1 of (rows, K, columns), as int64.

    On a CPU the maximum and a comparison in place are vectorised, ``torch.argmax`` is not: this is
    about five times faster. It overwrites ``block``. NaN has no place in an order: where it wins,
    the last class is returned.
    """
    if block.device.type != 'cpu':
        return block.argmax(dim=1)
    classes = block.shape[1]
    countdown = torch.arange(classes, 0, -1, dtype=block.dtype)[:, None]
    is_maximum = block.eq_(block.amax(dim=1, keepdim=True))
    first = classes - is_maximum.mul_(countdown).amax(dim=1)
    return first.clamp_(max=classes - 1).long()
