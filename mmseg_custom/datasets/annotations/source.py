"""What all annotations beside pictures become: samples, classes, and a reader of label maps."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from PIL import Image

from mmseg_custom.datasets.annotations.rasterising import draw_objects
from mmseg_custom.labels import IGNORE_INDEX
from mmseg_custom.messages import did_you_mean

BACKGROUND = 'background'
# How tools write the class of all that is not outlined, and pixels that count for nothing.
BACKGROUND_NAMES = (BACKGROUND, '_background_', '__background__')
IGNORED_NAMES = ('__ignore__', '_ignore_')
EXIF_ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)


class ObjectReader:
    """Draws the label map of a sample from its ``annotation``; small, and can be pickled.

    Args:
        background: value of the pixels that no object covers: an index, or 255.
    """

    def __init__(self, background: int) -> None:
        self.background = background

    def __call__(self, results: dict) -> np.ndarray:
        """Return (H, W) uint8, class indices or 255, in the size of the picture's file.

        Args:
            results: a sample with ``annotation`` and ``img_path``; ``ori_shape`` (height, width)
                saves looking it up.

        Raises:
            ValueError: annotation and picture have different sizes, or run lengths do not fit.
        """
        annotation = results['annotation']
        size = results.get('ori_shape') or picture_size(results['img_path'])
        stated = annotation['size']
        if stated is not None and tuple(stated) != tuple(size):
            raise ValueError(
                f'{annotation["file"]} is for a picture of {stated[1]}x{stated[0]} but '
                f'{results["img_path"]} has {size[1]}x{size[0]}; annotate this picture, or put the '
                'original one back'
            )
        objects = annotation['objects']
        if annotation.get('normalised'):
            scale = np.array(size[::-1], np.float64)
            objects = [
                (index, [p * scale for p in shape], crowd) for index, shape, crowd in objects
            ]
        try:
            return draw_objects(objects, tuple(size), self.background)
        except ValueError as error:
            raise ValueError(f'{annotation["file"]}, {results["img_path"]}: {error}') from error


def picture_size(path: str) -> tuple[int, int]:
    """Return (height, width) of a picture as it is shown, without decoding it."""
    with Image.open(path) as picture:
        width, height = picture.size
        turned = picture.getexif().get(EXIF_ORIENTATION) in SIDEWAYS
    return (width, height) if turned else (height, width)


@dataclass
class AnnotationSource:
    """Annotations of one split.

    Args:
        classes: names in index order.
        list_samples: called once, when ``samples`` is asked for.
        reader: gives the label map of a sample, (H, W) uint8.
    """

    classes: tuple[str, ...]
    list_samples: Callable[[], list[dict]] = field(repr=False)
    reader: Callable[[dict], np.ndarray]

    @cached_property
    def samples(self) -> list[dict]:
        """One dict per picture, sorted: ``img_path``, and ``annotation`` or ``seg_map_path``."""
        return self.list_samples()


@dataclass(frozen=True)
class ClassNames:
    """From the names in files to indices, with the value of what no object covers.

    Args:
        classes: names in index order.
        indices: name in the files -> index or 255.
        background: index or 255.
    """

    classes: tuple[str, ...]
    indices: dict[str, int]
    background: int

    @classmethod
    def of(cls, names: Sequence[str], classes: Sequence[str] | None, where: str) -> 'ClassNames':
        """Number the names of objects.

        What no object covers is the class ``background``: the one among the names if there is one
        (LabelMe's ``_background_``, too), else it comes first. When the user names the classes,
        their order counts, and without ``background`` among them such pixels are ignored.

        Raises:
            ValueError: a name occurs twice, or is none of the user's classes.
        """
        doubled = sorted({name for name in names if list(names).count(name) > 1})
        if doubled:
            raise ValueError(f"{where}: class '{doubled[0]}' occurs twice; names must differ")
        objects = [name for name in names if name.lower() not in IGNORED_NAMES]
        own = next((name for name in objects if name.lower() in BACKGROUND_NAMES), None)
        if classes is None:
            classes = [BACKGROUND if name == own else name for name in objects]
            classes = classes if own else [BACKGROUND, *classes]
        backgrounds = [i for i, name in enumerate(classes) if name.lower() in BACKGROUND_NAMES]
        background = backgrounds[0] if backgrounds else IGNORE_INDEX
        indices = {name: index for index, name in enumerate(classes)}
        if own:
            indices[own] = background
        unknown = [name for name in objects if name not in indices]
        if unknown:
            hint = did_you_mean(unknown[0], classes)
            raise ValueError(
                f"{where} has the class '{unknown[0]}', which is none of the classes "
                f'{", ".join(classes)}; {hint or "add it to classes"}'
            )
        indices.update({name: IGNORE_INDEX for name in names if name.lower() in IGNORED_NAMES})
        return cls(tuple(classes), indices, background)


def as_polygon(numbers: Sequence[float], where: str) -> np.ndarray:
    """Turn ``x1 y1 x2 y2 ...`` into (N, 2) float64.

    Raises:
        ValueError: fewer than three points, half a point, or what is no number.
    """
    try:
        points = np.array(numbers, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f'{where}: the coordinates are not all numbers; draw it again') from None
    if points.size % 2 or not np.isfinite(points).all():
        raise ValueError(
            f'{where}: {points.size} coordinates, expected pairs of finite x and y; draw it again'
        )
    if points.size < 6:
        raise ValueError(
            f'{where}: a polygon of {points.size // 2} points; expected at least 3, remove it or '
            'draw it again'
        )
    return points.reshape(-1, 2)


def read_json(path: Path, keys: Sequence[str]) -> dict:
    """Read a JSON file that is an object with ``keys``.

    Raises:
        ValueError: it is no JSON, or a key is missing.
    """
    try:
        content = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        place = f', line {error.lineno}' if isinstance(error, json.JSONDecodeError) else ''
        problem = getattr(error, 'msg', None) or error.reason
        raise ValueError(
            f'{path}{place} is not valid JSON: {problem}; export the annotations again'
        ) from error
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise ValueError(f"{path} has no '{missing[0]}'; expected an object with {', '.join(keys)}")
    return content


def warn_outside(count: int, total: int, where: Path | str) -> None:
    """Say once how many objects reach beyond their pictures."""
    if count:
        warn(f'{count} of {total} objects in {where} reach beyond their pictures and are cut off')


def warn(text: str) -> None:
    """Write a warning into the current log."""
    print_log(text, logger='current', level=logging.WARNING)
