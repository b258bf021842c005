"""Outlines and run lengths as label maps.

A pixel belongs to an outline when its centre lies inside, by the even-odd rule: shapes keep their
area. OpenCV's ``fillPoly`` draws the border, too, which makes objects half a pixel larger on each
side; pycocotools agrees with the rule here but for single pixels at edges.
"""

import math

import numpy as np

# How far the sides of the polygon that stands for a circle may lie inside it, in pixels.
CIRCLE_TOLERANCE = 0.01

Region = tuple[int, int, np.ndarray]


def circle(centre: tuple[float, float], radius: float) -> np.ndarray:
    """Return a circle as a polygon, (N, 2) float64, all in pixels."""
    steps = max(12, math.ceil(math.pi / math.sqrt(2 * CIRCLE_TOLERANCE / max(radius, 1))))
    angles = np.arange(steps) * 2 * math.pi / steps
    return np.array(centre) + radius * np.stack([np.cos(angles), np.sin(angles)], -1)


def fill_polygon(points: np.ndarray, size: tuple[int, int]) -> Region:
    """Find the pixels whose centres lie inside a polygon; what lies outside the picture is cut off.

    Args:
        points: (N, 2), x and y in pixels; (0, 0) is the upper left corner of the first pixel.
        size: (height, width) of the picture.

    Returns:
        Top row, left column, and (H, W) bool of the part of the picture that holds them.
    """
    height, width = size
    # Centres of pixels are whole numbers from here on.
    start = np.asarray(points, np.float64) - 0.5
    end = np.roll(start, -1, axis=0)
    lower = np.ceil(np.minimum(start[:, 1], end[:, 1])).clip(0, height).astype(int)
    upper = np.ceil(np.maximum(start[:, 1], end[:, 1])).clip(0, height).astype(int)
    columns = np.ceil(start[:, 0]).clip(0, width)
    top, bottom = int(lower.min()), int(upper.max())
    left, right = int(columns.min()), int(columns.max())
    num_rows, num_columns = bottom - top, right - left
    counts = upper - lower
    # Each side of the polygon crosses the rows from lower to upper once.
    side = np.repeat(np.arange(len(start)), counts)
    row = np.arange(counts.sum()) + np.repeat(lower - counts.cumsum() + counts, counts)
    slope = (end - start)[side]
    crossing = start[side, 0] + (row - start[side, 1]) * slope[:, 0] / slope[:, 1]
    column = np.ceil(crossing).clip(left, right).astype(int) - left
    places = (row - top) * (num_columns + 1) + column
    # Every row is crossed an even number of times, so that the rows can follow each other.
    bounds = np.concatenate([[0], np.sort(places), [num_rows * (num_columns + 1)]])
    inside = np.repeat(np.arange(len(bounds) - 1) % 2 == 1, np.diff(bounds))
    return top, left, inside.reshape(num_rows, num_columns + 1)[:, :-1]


def fill_polygons(polygons: list[np.ndarray], size: tuple[int, int]) -> Region:
    """Join the polygons of one object, as COCO does: a part inside a part is no hole."""
    regions = [fill_polygon(points, size) for points in polygons]
    if len(regions) == 1:
        return regions[0]
    top, left = (min(region[axis] for region in regions) for axis in (0, 1))
    bottom, right = (
        max(region[axis] + region[2].shape[axis] for region in regions) for axis in (0, 1)
    )
    joined = np.zeros((bottom - top, right - left), bool)
    for row, column, inside in regions:
        height, width = inside.shape
        joined[row - top : row - top + height, column - left : column - left + width] |= inside
    return top, left, joined


def decode_rle(rle: dict) -> np.ndarray:
    """Decode run lengths of COCO, plain or compressed, to (H, W) bool.

    Raises:
        ModuleNotFoundError: they are compressed and pycocotools is not installed.
        ValueError: the runs are not as long as the picture.
    """
    height, width = rle['size']
    if isinstance(rle['counts'], list):
        counts = np.array(rle['counts'], np.int64)
        if (counts < 0).any() or counts.sum() != height * width:
            raise ValueError(
                f'run lengths of {counts.sum()} pixels; expected {height} x {width} = '
                f'{height * width}, write the annotation again'
            )
        values = np.arange(len(counts)) % 2 == 1
        return np.repeat(values, counts).reshape(width, height).T
    coder = coco_masks()
    decoded = coder.decode({'size': [height, width], 'counts': rle['counts'].encode()})
    return decoded.astype(bool)


def coco_masks():
    """Return ``pycocotools.mask``.

    Raises:
        ModuleNotFoundError: it is not installed; the message is the line to run.
    """
    try:
        from pycocotools import mask
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'compressed run lengths (RLE) need pycocotools; run: pip install pycocotools',
            name='pycocotools',
        ) from error
    return mask


def draw_objects(objects: list[tuple], size: tuple[int, int], background: int) -> np.ndarray:
    """Draw objects, the largest first, so that the smaller one lies on top where two overlap.

    Args:
        objects: each ``(class index, shape, is crowd)``; the shape is a list of polygons in
            pixels, each (N, 2), or run lengths. Crowds lie below all single objects.
        size: (height, width).
        background: value where nothing lies.

    Returns:
        (H, W) uint8.
    """
    regions = []
    for index, shape, crowd in objects:
        if isinstance(shape, dict):
            top, left, inside = 0, 0, decode_rle(shape)
        else:
            top, left, inside = fill_polygons(shape, size)
        regions.append((bool(crowd), int(inside.sum()), index, top, left, inside))
    labels = np.full(size, background, np.uint8)
    for _, _, index, top, left, inside in sorted(regions, key=lambda r: (not r[0], -r[1])):
        height, width = inside.shape
        labels[top : top + height, left : left + width][inside] = index
    return labels


def has_outside(points: np.ndarray, size: tuple[float, float]) -> bool:
    """Whether a point lies outside a picture of ``size`` (height, width), beyond rounding."""
    margin = 1e-3 * np.array(size[::-1])
    return bool(((points < -margin) | (points > size[::-1] + margin)).any())
