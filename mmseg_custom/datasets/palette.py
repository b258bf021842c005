"""Colours for data sets that name none."""

from functools import lru_cache

import cv2
import numpy as np

GRID_STEPS = 18
LIGHTNESS_RANGE = (35.0, 92.0)


@lru_cache(maxsize=32)
def _distinct_colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """Pick colours one by one, each the farthest in CIELAB from all before it and from grey."""
    steps = np.linspace(0, 255, GRID_STEPS).round().astype(np.uint8)
    rgb = np.stack(np.meshgrid(steps, steps, steps, indexing='ij'), -1).reshape(-1, 3)
    lab = cv2.cvtColor(rgb[None].astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[0]
    keep = (lab[:, 0] >= LIGHTNESS_RANGE[0]) & (lab[:, 0] <= LIGHTNESS_RANGE[1])
    rgb, lab = rgb[keep], lab[keep]

    greys = np.array([[lightness, 0, 0] for lightness in (0, 35, 70, 100)], np.float32)
    distance = np.linalg.norm(lab[:, None] - greys, axis=-1).min(1)
    chosen = []
    for _ in range(count):
        best = int(distance.argmax())
        chosen.append(tuple(rgb[best].tolist()))
        distance = np.minimum(distance, np.linalg.norm(lab - lab[best], axis=-1))
    return tuple(chosen)


def distinct_palette(classes: tuple[str, ...]) -> list[list[int]]:
    """Return one well distinguishable colour per class, the same on every call.

    A class more at the end leaves the colours of the others as they are. A first class called
    ``background`` is black.

    Args:
        classes: class names in index order, at most 256.

    Returns:
        ``[R, G, B]`` per class, 0-255.
    """
    has_background = bool(classes) and classes[0].lower() == 'background'
    colours = [list(colour) for colour in _distinct_colours(len(classes) - has_background)]
    return [[0, 0, 0], *colours] if has_background else colours
