"""A part of a resized picture, without resizing the rest of it."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

# How far, in source pixels, the part may lie from where it belongs; cv2.remap rounds as much.
TOLERANCE = 1 / 32


@dataclass(frozen=True)
class Box:
    """A part of a resized picture: first row and column, and how many of each."""

    top: int
    left: int
    height: int
    width: int


def resize_part(image: np.ndarray, size: tuple[int, int], box: Box) -> np.ndarray:
    """Cut ``box`` out of ``cv2.resize(image, size)``, which is computed there only.

    ``cv2.resize`` puts the first pixel of what it is given at a fixed phase. So the source begins
    some columns and rows earlier, where the phase fits to a 32nd of a source pixel; what is left of
    that is the difference to resizing all and then cutting. Parts that begin at 0 are equal.

    Args:
        image: (H, W, C), uint8.
        size: (width, height) of the whole resized picture.
        box: inside of ``size``.

    Returns:
        (box.height, box.width, C); may be a view of a larger array.
    """
    rows, columns = image.shape[:2]
    if (box.width, box.height) == size:
        return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    top, bottom, above = _source_span(box.top, box.height, rows, size[1])
    left, right, before = _source_span(box.left, box.width, columns, size[0])
    source, ratios = image[top:bottom, left:right], (size[0] / columns, size[1] / rows)
    part = cv2.resize(source, None, fx=ratios[0], fy=ratios[1], interpolation=cv2.INTER_LINEAR)
    part = part[above : above + box.height, before : before + box.width]
    if part.shape[:2] == (box.height, box.width):
        return part
    # Enlarged so much that rounding costs a column at the picture's edge.
    whole = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return whole[box.top : box.top + box.height, box.left : box.left + box.width]


def _source_span(start: int, length: int, source: int, resized: int) -> tuple[int, int, int]:
    """Begin and end in the source for a part of one axis, and how many pixels too early it is."""
    scale = source / resized
    if start == 0:
        return 0, min(source, math.ceil(length * scale + 1)), 0
    # The first pixel must not be extrapolated: its left neighbour belongs to the source.
    least = min(start, math.ceil(0.5 / scale - 0.5))
    early = np.arange(least, start + 1)
    begin = (start - early) * scale
    fitting = np.abs(begin - np.rint(begin)) <= TOLERANCE
    # The last one always fits: it begins with the picture.
    index = int(fitting.argmax())
    extra, first = int(early[index]), round(float(begin[index]))
    needed = math.ceil((extra + length) * scale + 1)
    return first, min(source, first + needed), extra


def nearest_indices(source: int, resized: int) -> np.ndarray:
    """Which source pixel ``cv2.resize`` with ``INTER_NEAREST`` takes for each resized one."""
    ramp = np.arange(source, dtype=np.float32)[None]
    return cv2.resize(ramp, (resized, 1), interpolation=cv2.INTER_NEAREST)[0].astype(np.intp)


def resize_label_part(labels: np.ndarray, size: tuple[int, int], box: Box) -> np.ndarray:
    """Cut ``box`` out of ``cv2.resize(labels, size)`` with ``INTER_NEAREST``: the same pixels.

    Args:
        labels: (H, W).
        size: (width, height) of the whole resized map.
        box: inside of ``size``.

    Returns:
        (box.height, box.width), contiguous, of the dtype of ``labels``.
    """
    rows = nearest_indices(labels.shape[0], size[1])[box.top : box.top + box.height]
    columns = nearest_indices(labels.shape[1], size[0])[box.left : box.left + box.width]
    first, last, span = rows[0], rows[-1] + 1, slice(columns[0], columns[-1] + 1)
    smaller = len(rows) < last - first
    part = labels[rows, span] if smaller else labels[first:last, span]
    # NumPy copies whole rows, but single pixels of a row: columns are taken as rows.
    part = cv2.transpose(cv2.transpose(part).take(columns - columns[0], 0))
    return part if smaller else part.take(rows - first, 0)
