"""Pictures too large for the memory: windows at native scale, blended, a band of rows at a time.

Each window goes through the network as in a sliding-window test. Only the low-resolution logits of
the windows that touch the current rows are kept; every block of the result is computed from them
(:mod:`mmseg_custom.models.segmentors.block_prediction`). Where windows overlap, their logits are
averaged with weights that fall linearly towards a window's edge.
"""

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from mmseg_custom.models.segmentors.axis_map import AxisMap
from mmseg_custom.models.segmentors.block_prediction import LogitMap, LogitPart
from mmseg_custom.models.segmentors.confidence import Confidence
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
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Predict a picture band by band, from the top to the bottom.

    Args:
        model: a segmentor of ours in evaluation mode.
        read: gives rows ``start`` to ``stop``, RGB uint8 (stop - start, W, 3).
        size: (height, width) of the picture.
        window: (height, width) of what goes through the network.
        overlap: pixels that neighbouring windows share.
        batch_size: windows at once.

    Yields:
        Class indices, uint8, and their probabilities, float32, of the next rows, (rows, W).
    """
    grid = WindowGrid.cover(size, window, tuple(side - overlap for side in window))
    columns = [_placed(grid.columns, start, overlap) for start in grid.columns.starts]
    weights = [_placed(grid.rows, start, overlap) for start in grid.rows.starts]
    kept: deque[tuple[AxisMap, list[Tensor]]] = deque()
    ends = [*grid.rows.starts[1:], size[0]]
    for top, bottom, place in zip(grid.rows.starts, ends, weights):
        rows = read(top, top + grid.rows.window)
        kept.append((place, _window_logits(model, rows, grid, batch_size)))
        while not kept[0][0].weight[top:bottom].any():
            kept.popleft()
        yield _finish(kept, columns, top, bottom, size[1], model.align_corners, grid.window_size)


def _placed(axis: WindowAxis, start: int, overlap: int) -> AxisMap:
    """Map a window's pixels to the picture's, weighted so that all windows sum to one."""
    ramp = np.minimum(np.arange(axis.window), np.arange(axis.window)[::-1]) + 1.0
    ramp = np.minimum(ramp, overlap + 1) / (overlap + 1)
    total = np.zeros(axis.size)
    for one in axis.starts:
        total[one : one + axis.window] += ramp
    identity = AxisMap.identity(axis.window)
    weighted = AxisMap(identity.index, identity.weight * ramp[:, None])
    return weighted.place(start, axis.size, total)


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


def _finish(
    kept: deque, columns: list[AxisMap], top: int, bottom: int, width: int, align_corners, window
) -> tuple[np.ndarray, np.ndarray]:
    """Put the logits of the rows ``top`` to ``bottom`` together and take the best class."""
    labels = np.empty((bottom - top, width), dtype=np.uint8)
    confidence = np.empty(labels.shape, dtype=np.float32)
    for left in range(0, width, CHUNK):
        chunk = slice(left, min(left + CHUNK, width))
        parts = []
        for place_rows, logits in kept:
            for place_columns, one in zip(columns, logits):
                across = place_columns.select(chunk)
                if not across.weight.any():
                    continue
                base = LogitMap.from_logits(one, window, align_corners).parts[0]
                down = base.rows.then(place_rows.select(slice(top, bottom)))
                parts.append(LogitPart(one, down, base.columns.then(across)))
        whole = LogitMap(tuple(parts))
        see = Confidence(whole.shape[1:], parts[0].logits)
        labels[:, chunk] = whole.labels([see]).to(torch.uint8).numpy()
        confidence[:, chunk] = see.map.numpy()
    return labels, confidence


def estimate_memory(
    size: tuple[int, int], window: tuple[int, int], overlap: int, num_classes: int
) -> int:
    """Bytes that :func:`predict_bands` holds besides the model and the batch in it."""
    width, stride = size[1], [side - overlap for side in window]
    windows = (-(-window[0] // stride[0]) + 1) * (width // stride[1] + 2)
    logits = 4 * windows * num_classes * (window[0] // 4) * (window[1] // 4)
    # Rows, their copy for the network, labels, confidence and what is written.
    pictures = 14 * window[0] * width
    blocks = 4 * (CHUNK // stride[1] + 2) * (2**20 + num_classes * window[0] * window[1] // 4)
    return logits + pictures + blocks
