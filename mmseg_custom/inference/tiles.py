"""Pictures too large for the memory: windows at native scale, blended, a band of rows at a time.

Each window goes through the network as in a sliding-window test. Only the low-resolution logits of
the windows that touch the current rows are kept; every block of the result is computed from them
(:mod:`mmseg_custom.models.segmentors.block_prediction`). Where windows overlap, their logits are
averaged with weights that fall linearly towards a window's edge.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from mmseg_custom.models.segmentors.axis_map import AxisMap
from mmseg_custom.models.segmentors.block_prediction import LogitMap, LogitPart
from mmseg_custom.models.segmentors.sliding_window import WindowAxis, WindowGrid

# Columns of the picture whose logits are put together at once.
CHUNK = 2048


@torch.inference_mode()
def predict_bands(
    model: torch.nn.Module,
    read: Callable[[int, int], np.ndarray],
    size: tuple[int, int],
    window: tuple[int, int],
    overlap: int,
    batch_size: int = 4,
) -> Iterator[np.ndarray]:
    """Predict a picture band by band, from the top to the bottom.

    Args:
        model: a segmentor of ours in evaluation mode.
        read: gives rows ``start`` to ``stop``, RGB uint8 (stop - start, W, 3).
        size: (height, width) of the picture.
        window: (height, width) of what goes through the network.
        overlap: pixels that neighbouring windows share.
        batch_size: windows at once.

    Yields:
        Class indices of the next rows, uint8 (rows, W).
    """
    grid = WindowGrid.cover(size, window, tuple(side - overlap for side in window))
    kept: dict[int, list[Tensor]] = {}
    ends = [*grid.rows.starts[1:], size[0]]
    for number, (top, bottom) in enumerate(zip(grid.rows.starts, ends)):
        rows = read(top, top + grid.rows.window)
        kept[number] = _window_logits(model, rows, grid, batch_size)
        if number == 0:
            whole = LogitMap.from_logits(kept[0][0], grid.window_size, model.align_corners).parts[0]
            chunks = [
                _shares(grid.columns, whole.columns, overlap, left, min(left + CHUNK, size[1]))
                for left in range(0, size[1], CHUNK)
            ]
        down = _shares(grid.rows, whole.rows, overlap, top, bottom)
        kept = {row: kept[row] for row in down}
        maps = [_whole_map(kept, down, across) for across in chunks]
        yield np.concatenate([_labels(model, one) for one in maps], axis=1)


def _shares(
    axis: WindowAxis, whole: AxisMap, overlap: int, start: int, stop: int
) -> dict[int, AxisMap]:
    """What each window gives to the picture's pixels ``start`` to ``stop``; they sum to one.

    Args:
        axis: the windows.
        whole: map of a window's logits to its pixels.
        overlap: pixels that neighbouring windows share.
        start: first pixel.
        stop: one past the last.

    Returns:
        Maps of the windows' logits to those pixels, by the windows' numbers, of those that reach
        them.
    """
    ramp = np.minimum(np.arange(axis.window), np.arange(axis.window)[::-1]) + 1.0
    ramp = np.minimum(ramp, overlap + 1) / (overlap + 1)
    weighted = AxisMap(whole.index, whole.weight * ramp[:, None])
    total, spans = np.zeros(stop - start), {}
    for number, left in enumerate(axis.starts):
        first, last = max(left, start), min(left + axis.window, stop)
        if first < last:
            spans[number] = slice(first - left, last - left), first - start
            total[first - start : last - start] += ramp[spans[number][0]]
    return {
        number: weighted.select(inside).place(begin, len(total), total)
        for number, (inside, begin) in spans.items()
    }


def _window_logits(
    model: torch.nn.Module, rows: np.ndarray, grid: WindowGrid, batch_size: int
) -> list[Tensor]:
    """Logits of each window of a row of windows, as the head gives them."""
    picture = torch.from_numpy(np.ascontiguousarray(rows[..., ::-1].transpose(2, 0, 1)))
    width = grid.columns.window
    windows = [picture[..., left : left + width] for left in grid.columns.starts]
    logits = []
    for first in range(0, len(windows), batch_size):
        batch = model.data_preprocessor({'inputs': windows[first : first + batch_size]})['inputs']
        maps = model.logit_maps(batch, [None] * len(batch))
        logits += [one.parts[0].logits.float().cpu() for one in maps]
    return logits


def _whole_map(
    logits: dict[int, list[Tensor]], down: dict[int, AxisMap], across: dict[int, AxisMap]
) -> LogitMap:
    """Put the logits of windows together."""
    parts = [
        LogitPart(logits[row][column], rows, columns)
        for row, rows in down.items()
        for column, columns in across.items()
    ]
    return LogitMap(tuple(parts))


def _labels(model: torch.nn.Module, whole: LogitMap) -> np.ndarray:
    """The best class of each pixel, uint8 (rows, columns); of one output channel, 0 or 1."""
    if whole.shape[0] == 1:
        return (whole.logits()[0].sigmoid() > model.decode_head.threshold).byte().numpy()
    return whole.labels().byte().numpy()


def estimate_memory(
    size: tuple[int, int], window: tuple[int, int], overlap: int, num_classes: int
) -> int:
    """Bytes that :func:`predict_bands` holds besides the model and the batch in it."""
    width, stride = size[1], [side - overlap for side in window]
    windows = (-(-window[0] // stride[0]) + 1) * (width // stride[1] + 2)
    logits = 4 * windows * num_classes * (window[0] // 4) * (window[1] // 4)
    # Rows, their copy for the network, labels, their copy and what is written.
    pictures = 10 * window[0] * width
    blocks = 4 * (CHUNK // stride[1] + 2) * (2**20 + num_classes * window[0] * window[1] // 4)
    return logits + pictures + blocks
