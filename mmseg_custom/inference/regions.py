"""Regions of a class map: connected components, or whole classes, with their geometry.

Components touch along edges (4-connectivity), so that their outlines are simple rings. Coordinates
are pixels: (0, 0) is the top left corner of the top left pixel, x goes right, y goes down, and a
picture of one pixel spans 0 to 1.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from mmseg_custom.datasets.annotations.rasterising import coco_masks

Ring = list[tuple[int, int]]
Box = tuple[int, int, int, int]
# Not 1, which OpenCV's flood filling gives its border.
_FLOODED = 2


@dataclass(frozen=True)
class Region:
    """One connected component of a class, or one class.

    Attributes:
        class_index: 0..K-1.
        name: of the class.
        value: mean probability of the class over the region, 0..1.
        area: pixels.
        box: (x, y, width, height) in pixels, the smallest that holds it.
        numbers: which region each pixel of the picture belongs to, integers (H, W). Regions share
            it, since masks of their own would take N x H x W where regions lie within each other.
        number: of this one.
    """

    class_index: int
    name: str
    value: float
    area: int
    box: Box
    numbers: np.ndarray = field(repr=False)
    number: int

    @property
    def picture_size(self) -> tuple[int, int]:
        """(height, width) of the picture in pixels."""
        return self.numbers.shape

    @property
    def mask(self) -> np.ndarray:
        """Bool (height, width) within the box."""
        return _cut(self.numbers, self.box) == self.number

    @property
    def full_mask(self) -> np.ndarray:
        """Bool (H, W) of the picture's size."""
        full = np.zeros(self.picture_size, dtype=bool)
        _cut(full, self.box)[:] = self.mask
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
        numbers, _, boxes = _components(self.mask)
        return [
            (_moved(shell, left, top), [_moved(hole, left, top) for hole in holes])
            for number, box in enumerate(boxes.tolist(), 1)
            for left, top in [(box[0] + self.box[0], box[1] + self.box[1])]
            for shell, *holes in [_rings(_cut(numbers, box) == number)]
        ]

    @property
    def num_corners(self) -> int:
        """Of all rings of :attr:`polygons`, counted without making them."""
        mask = np.pad(self.mask, 1)
        upper, lower = mask[:-1], mask[1:]
        odd = upper ^ lower
        crossing = odd[:, :-1] & odd[:, 1:] & (upper[:, :-1] ^ upper[:, 1:])
        return np.count_nonzero(odd[:, :-1] ^ odd[:, 1:]) + 2 * np.count_nonzero(crossing)


class Found(NamedTuple):
    """Regions, the largest first, and how many there were before ``most`` of them were taken."""

    regions: list[Region]
    count: int


def find_regions(
    labels: np.ndarray,
    confidence: np.ndarray,
    classes: Sequence[str],
    *,
    whole_classes: bool = False,
    min_area: int = 1,
    leave_out: Sequence[str] = (),
    min_value: float = 0.0,
    most: int | None = None,
) -> Found:
    """Find the regions of a class map.

    Args:
        labels: class of each pixel, integers (H, W); what is no class belongs to no region.
        confidence: probability of that class, float (H, W), 0..1.
        classes: K names.
        whole_classes: one region for each class, instead of one for each connected component.
        min_area: smaller regions are left out, in pixels.
        leave_out: names of classes without regions, such as the background.
        min_value: regions with a lower mean probability are left out.
        most: how many to take, the largest; with it, time and memory depend on the number of
            pixels and classes alone, whatever the picture shows. None takes all.

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
    numbers, used, total = np.zeros(labels.shape, np.int32), 0, 0
    regions: list[Region] = []
    for index in np.unique(labels).tolist():
        if not 0 <= index < len(classes) or classes[index] in leave_out:
            continue
        of_class = labels == index
        whole = tuple(cv2.boundingRect(of_class.view(np.uint8)))
        of_class = _cut(of_class, whole)
        own, areas, boxes = (_as_one if whole_classes else _components)(of_class)
        boxes[:, :2] += whole[:2]
        values = np.bincount(own.ravel(), _cut(confidence, whole).ravel())[1:] / areas
        np.add(own, used, out=_cut(numbers, whole), where=of_class)
        kept = np.flatnonzero((areas >= min_area) & (values >= min_value))
        total += len(kept)
        for one in _largest(kept, areas, boxes, labels.shape, most).tolist():
            found = float(values[one]), int(areas[one]), tuple(boxes[one].tolist())
            regions.append(Region(index, classes[index], *found, numbers, used + one + 1))
        used += len(areas)
    return Found(sorted(regions, key=lambda region: (-region.area, region.box))[:most], total)


def region_at(
    labels: np.ndarray, confidence: np.ndarray, classes: Sequence[str], row: int, column: int
) -> Region:
    """The connected component that a pixel belongs to, without finding the others.

    Args:
        labels: as of :func:`find_regions`.
        confidence: as there.
        classes: as there.
        row: of the pixel, which must be of a class.
        column: of the pixel.
    """
    index = int(labels[row, column])
    bordered = np.zeros([side + 2 for side in labels.shape], np.uint8)
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | _FLOODED << 8
    of_class = (labels == index).view(np.uint8)
    area, _, _, box = cv2.floodFill(of_class, bordered, (column, row), 0, flags=flags)
    numbers = bordered[1:-1, 1:-1]
    value = float(confidence[numbers == _FLOODED].mean(dtype=np.float64))
    return Region(index, classes[index], value, area, tuple(box), numbers, _FLOODED)


def _cut(array: np.ndarray, box: Box) -> np.ndarray:
    x, y, width, height = box
    return array[y : y + height, x : x + width]


def _components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number connected components from 1, int32 (H, W); their areas (N,) and boxes (N, 4).

    OpenCV gives areas and boxes as well, but then takes more than 100 bytes for each pixel.
    """
    count, numbers = cv2.connectedComponents(
        np.ascontiguousarray(mask).view(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    padded = np.pad(mask, ((0, 0), (1, 1)))
    rows, edges = (one.astype(np.int32) for one in np.nonzero(padded[:, 1:] != padded[:, :-1]))
    rows, starts, ends = rows[::2], edges[::2], edges[1::2]
    runs = numbers[rows, starts] - 1
    areas = np.bincount(runs, ends - starts).astype(np.int64)
    boxes = np.zeros((count - 1, 4), np.int32)
    boxes[:, :2] = mask.size
    for axis, (low, high) in enumerate(((starts, ends), (rows, rows + 1))):
        np.minimum.at(boxes[:, axis], runs, low)
        np.maximum.at(boxes[:, axis + 2], runs, high)
    boxes[:, 2:] -= boxes[:, :2]
    return numbers, areas, boxes


def _as_one(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same with all components as one, which fills the mask."""
    height, width = mask.shape
    area = np.count_nonzero(mask)
    return mask.astype(np.int32), np.array([area]), np.array([[0, 0, width, height]])


def _largest(
    kept: np.ndarray, areas: np.ndarray, boxes: np.ndarray, size: tuple[int, int], most: int | None
) -> np.ndarray:
    """Those of ``kept`` (indices) that have the most pixels, and of equal ones the leftmost."""
    if most is None or len(kept) <= most:
        return kept
    height, width = size
    place = boxes[kept, 0].astype(np.int64) * height + boxes[kept, 1]
    return kept[np.argpartition(place - areas[kept] * height * width, most)[:most]]


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
