"""LabelMe's JSON beside each picture: polygons, rectangles and circles."""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from mmseg_custom.datasets.annotations.rasterising import circle, has_outside
from mmseg_custom.datasets.annotations.source import (
    AnnotationSource,
    ClassNames,
    ObjectReader,
    as_polygon,
    read_json,
    warn_outside,
)
from mmseg_custom.datasets.checks import IMAGE_SUFFIXES, find_by_stem, first_names, list_files

KEYS = ('shapes', 'imageHeight', 'imageWidth')
FOLDERS = ('images/{split}', '{split}')


def find_labelme(root: Path, split: str) -> Path | None:
    """Return the folder of a split whose pictures have JSON files of LabelMe beside them."""
    for pattern in FOLDERS:
        folder = root / pattern.format(split=split)
        if folder.is_dir() and any(name.endswith('.json') for name in list_files(folder)):
            return folder
    return None


def read_labelme(
    folder: Path, classes: Sequence[str] | None = None, label_folders: Sequence[Path] = ()
) -> AnnotationSource:
    """Read the JSON files of LabelMe in a folder.

    Classes are the labels in alphabetical order after ``background``; ``__ignore__`` gives 255. Of
    shapes that overlap the smaller one lies on top.

    Args:
        folder: pictures and JSON files, with sub-folders.
        classes: the user's class names; default the labels of all ``label_folders``.
        label_folders: folders of all splits, so that each has the same classes.

    Raises:
        FileNotFoundError: pictures without a file, or files without a picture.
        ValueError: a file does not fit, or a shape is of another kind.
    """
    labels = set()
    for place in {folder, *label_folders}:
        for path in _files(place).values():
            stat = path.stat()
            labels |= _labels(path, (stat.st_size, stat.st_mtime_ns))
    names = ClassNames.of(sorted(labels), classes, str(folder))
    return AnnotationSource(
        names.classes, lambda: _samples(folder, names.indices), ObjectReader(names.background)
    )


def _files(folder: Path) -> dict[str, Path]:
    names = [name for name in list_files(folder) if name.lower().endswith('.json')]
    return {name[: -len('.json')]: folder / name for name in names}


@lru_cache(maxsize=100_000)
def _labels(path: Path, stamp: tuple) -> frozenset[str]:
    """Labels of a file, which is read once for the config and once for the samples."""
    return frozenset(str(shape.get('label')) for shape in read_json(path, KEYS)['shapes'])


def _samples(folder: Path, indices: dict[str, int]) -> list[dict]:
    images, files = find_by_stem(folder, IMAGE_SUFFIXES), _files(folder)
    samples, num_outside, num_objects = [], 0, 0
    for stem, path in files.items():
        content = read_json(path, KEYS)
        picture = images.pop(stem, None) or _named_picture(path, content, folder, images)
        size = (content['imageHeight'], content['imageWidth'])
        objects = []
        for number, shape in enumerate(content['shapes']):
            where = f"{path}, shape {number} '{shape.get('label')}'"
            objects.append((indices[str(shape.get('label'))], [as_outline(shape, where)], False))
        num_objects += len(objects)
        num_outside += sum(has_outside(shape[0], size) for _, shape, _ in objects)
        annotation = {'file': str(path), 'size': size, 'objects': objects}
        samples.append({'img_path': str(folder / picture), 'annotation': annotation})
    if images:
        raise FileNotFoundError(
            f'{len(images)} of {len(images) + len(samples)} images in {folder} have no JSON file '
            f'of LabelMe: {first_names(sorted(images.values()))}; expected '
            f'{min(images)}.json, save an empty one for pictures without objects'
        )
    warn_outside(num_outside, num_objects, folder)
    return sorted(samples, key=lambda sample: sample['img_path'])


def _named_picture(path: Path, content: dict, folder: Path, images: dict[str, str]) -> str:
    """Take the picture that a file names, where none has the file's stem."""
    name = str(content.get('imagePath') or '').replace('\\', '/').rsplit('/', 1)[-1]
    picture = (path.parent / name).relative_to(folder)
    stem = picture.with_suffix('').as_posix()
    if images.get(stem) != picture.as_posix():
        raise FileNotFoundError(
            f'{path} has no picture: expected {path.stem}{IMAGE_SUFFIXES[0]} or its imagePath '
            f"'{content.get('imagePath')}' beside it; put it there or remove the file"
        )
    return images.pop(stem)


def as_outline(shape: dict, where: str) -> np.ndarray:
    """Turn a shape of LabelMe into a polygon, (N, 2) float32 in pixels.

    Raises:
        ValueError: it is no polygon, rectangle or circle, or has too few points.
    """
    kind, points = shape.get('shape_type') or 'polygon', shape.get('points') or []
    if kind == 'polygon':
        flat = [number for point in points for number in point]
        return as_polygon(flat, where).astype(np.float32)
    if kind not in ('rectangle', 'circle'):
        raise ValueError(
            f"{where}: shape_type '{kind}' has no area that is known; expected polygon, rectangle "
            'or circle, draw it as one'
        )
    if kind == 'rectangle' and len(points) == 4:
        return as_outline({'points': points}, where)
    if len(points) != 2:
        raise ValueError(f'{where}: a {kind} of {len(points)} points; expected 2, draw it again')
    (x1, y1), (x2, y2) = points
    if kind == 'rectangle':
        return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)
    return circle((x1, y1), math.hypot(x2 - x1, y2 - y1)).astype(np.float32)
