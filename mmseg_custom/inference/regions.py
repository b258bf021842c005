"""Regions of a class map: connected components, or whole classes, with their geometry.

Components touch along edges (4-connectivity), so that their outlines are simple rings. Coordinates
are pixels: (0, 0) is the top left corner of the top left pixel, x goes right, y goes down, and a
picture of one pixel spans 0 to 1.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from mmseg_custom.datasets.annotations.rasterising import coco_masks

Ring = list[tuple[int, int]]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Region:
    """One connected component of a class, or one class.

    Attributes:
        class_index: 0..K-1.
        name: of the class.
        value: mean probability of the class over the region, 0..1.
        area: pixels.
        box: (x, y, width, height) in pixels, the smallest that holds it.
        mask: bool (height, width) within the box.
        picture_size: (height, width) of the picture in pixels.
    """

    class_index: int
    name: str
    value: float
    area: int
    box: Box
    mask: np.ndarray
    picture_size: tuple[int, int]

    @property
    def full_mask(self) -> np.ndarray:
        """Bool (H, W) of the picture's size."""
        full = np.zeros(self.picture_size, dtype=bool)
        x, y, width, height = self.box
        full[y : y + height, x : x + width] = self.mask
        return full

    @property
    def mask_png(self) -> bytes:
        """A PNG of the picture's size, 255 in the region and 0 outside."""
        buffer = io.BytesIO()
        Image.fromarray(self.full_mask.astype(np.uint8) * 255).save(buffer, format='PNG')
        return buffer.getvalue()

    @property
    def rle(self) -> dict:
        """COCO's compressed run lengths: ``size`` [height, width] and ``counts``, ASCII.

        Raises:
            ModuleNotFoundError: pycocotools is not installed.
        """
        encoded = coco_masks().encode(np.asfortranarray(self.full_mask.astype(np.uint8)))
        return {'size': encoded['size'], 'counts': encoded['counts'].decode('ascii')}

    @property
    def polygons(self) -> list[tuple[Ring, list[Ring]]]:
        """Outlines along the edges of the pixels: (shell, holes) for each connected part.

        A ring is a list of (x, y) corners, the first not repeated. Shells run clockwise on the
        screen, holes the other way. The area that they enclose is ``area``.
        """
        return [
            (_moved(shell, left, top), [_moved(hole, left, top) for hole in holes])
            for (x, y, _, _), mask in _components(self.mask)
            for left, top in [(x + self.box[0], y + self.box[1])]
            for shell, *holes in [_rings(mask)]
        ]


def find_regions(
    labels: np.ndarray,
    confidence: np.ndarray,
    classes: Sequence[str],
    *,
    whole_classes: bool = False,
    min_area: int = 1,
    leave_out: Sequence[str] = (),
) -> list[Region]:
    """Find the regions of a class map, the largest first.

    Args:
        labels: class of each pixel, integers (H, W); what is no class belongs to no region.
        confidence: probability of that class, float (H, W), 0..1.
        classes: K names.
        whole_classes: one region for each class, instead of one for each connected component.
        min_area: smaller regions are left out, in pixels.
        leave_out: names of classes without regions, such as the background.

    Raises:
        ValueError: the arrays differ in size, or a name is no class.
    """
    if labels.shape != confidence.shape:
        raise ValueError(
            f'labels are {labels.shape} but confidence is {confidence.shape}; expected both (H, W)'
        )
    unknown = sorted(set(leave_out) - set(classes))
    if unknown:
        raise ValueError(f"'{unknown[0]}' is no class; expected one of {', '.join(classes)}")
    regions = []
    for index in np.unique(labels).tolist():
        if not 0 <= index < len(classes) or classes[index] in leave_out:
            continue
        of_class = labels == index
        whole = tuple(cv2.boundingRect(of_class.view(np.uint8)))
        for box, mask in [_cut(of_class, whole)] if whole_classes else _components(of_class):
            area = int(np.count_nonzero(mask))
            if area < min_area:
                continue
            value = float(_cut(confidence, box)[1][mask].mean(dtype=np.float64))
            regions.append(Region(index, classes[index], value, area, box, mask, labels.shape))
    return sorted(regions, key=lambda region: (-region.area, region.box))


def _cut(array: np.ndarray, box: Box) -> tuple[Box, np.ndarray]:
    x, y, width, height = box
    return box, array[y : y + height, x : x + width]


def _components(mask: np.ndarray) -> Iterator[tuple[Box, np.ndarray]]:
    """Yield box and mask within the box of each connected component."""
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(mask).view(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    for number in range(1, count):
        box = tuple(stats[number, :4].tolist())
        yield box, _cut(numbers, box)[1] == number


def _rings(mask: np.ndarray) -> list[Ring]:
    """Trace the edges of the pixels of one component: the shell, then the holes.

    OpenCV traces the centres of border pixels. In a mask of twice the size a border pixel lies next
    to exactly one edge of the original grid: at 2x left of it is 2x - 1, right of it 2x, which both
    become x when one is added and half is taken.
    """
    twice = mask.view(np.uint8).repeat(2, 0).repeat(2, 1)
    rings, _ = cv2.findContours(twice, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = sorted(rings, key=lambda ring: cv2.boundingRect(ring)[2:], reverse=True)
    return [_corners((ring[:, 0] + 1) // 2) for ring in rings]


def _corners(points: np.ndarray) -> Ring:
    """Drop repeated points and those on a straight line between their neighbours."""
    points = points[np.any(points != np.roll(points, 1, axis=0), axis=1)]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return [tuple(point) for point in points[turns].tolist()]


def _moved(ring: Ring, left: int, top: int) -> Ring:
    return [(x + left, y + top) for x, y in ring]
