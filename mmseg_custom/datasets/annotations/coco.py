"""COCO's JSON of objects: polygons and run lengths, crowds, category ids with gaps."""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from mmseg_custom.datasets.annotations.rasterising import coco_masks, has_outside
from mmseg_custom.datasets.annotations.source import (
    AnnotationSource,
    ClassNames,
    ObjectReader,
    as_polygon,
    read_json,
    warn_outside,
)
from mmseg_custom.datasets.checks import first_names

KEYS = ('images', 'annotations', 'categories')
# Where a split's file lies below the data set's folder: COCO's own names, then those of exports.
PATTERNS = (
    'annotations/instances_{split}*.json',
    'annotations/{split}*.json',
    'instances_{split}*.json',
    '{split}.json',
    '{split}/_annotations.coco.json',
    'images/{split}/*.coco.json',
    'images/{split}/annotations.json',
    'images/{split}/instances*.json',
)
PICTURES = ('images/{split}', 'images/{split}2017', '{split}', '{split}2017', 'images', '.')


def find_coco(root: Path, split: str) -> Path | None:
    """Return the JSON of a split.

    Raises:
        ValueError: there are several in one place.
    """
    for pattern in PATTERNS:
        found = sorted(root.glob(pattern.format(split=split)))
        if len(found) > 1:
            raise ValueError(
                f'{len(found)} files fit {pattern.format(split=split)} in {root}: '
                f'{first_names([p.name for p in found])}; expected one, move the others away'
            )
        if found:
            return found[0]
    return None


def read_coco(
    path: Path,
    root: Path,
    split: str,
    classes: Sequence[str] | None = None,
    image_dir: Path | None = None,
) -> AnnotationSource:
    """Read COCO's JSON of objects.

    Classes are the categories sorted by id. Of objects that overlap the smaller one lies on top,
    and crowds (``iscrowd``), painted with their class, lie below all others.

    Args:
        path: the file.
        root: folder of the data set.
        split: name of the split, for finding the pictures.
        classes: the user's class names; default the file's, after ``background``.
        image_dir: folder of the pictures; found below ``root`` by default.

    Raises:
        FileNotFoundError: pictures that the file names are missing.
        ValueError: the file does not fit.
    """
    stat = path.stat()
    categories = _categories(path, (stat.st_size, stat.st_mtime_ns))
    names = ClassNames.of([name for _, name in categories], classes, str(path))
    indices = {key: names.indices[name] for key, name in categories}
    return AnnotationSource(
        names.classes,
        lambda: _samples(path, _picture_folders(root, split, image_dir), indices),
        ObjectReader(names.background),
    )


@lru_cache(maxsize=16)
def _categories(path: Path, stamp: tuple) -> tuple[tuple[int, str], ...]:
    """Ids and names; the file is read once for the config and once for the samples."""
    categories = read_json(path, KEYS)['categories']
    for entry in categories:
        _check_entry(entry, ('id', 'name'), f'{path}: category')
    return tuple(sorted((entry['id'], str(entry['name'])) for entry in categories))


def _check_entry(entry: object, keys: Sequence[str], where: str) -> None:
    missing = [key for key in keys if not isinstance(entry, dict) or key not in entry]
    if missing:
        raise ValueError(
            f"{where} {str(entry)[:60]} has no '{missing[0]}'; expected {', '.join(keys)}, export "
            'the annotations again'
        )


def _picture_folders(root: Path, split: str, image_dir: Path | None) -> list[Path]:
    if image_dir is not None:
        return [Path(image_dir)]
    return [folder for p in PICTURES if (folder := root / p.format(split=split)).is_dir()]


def _samples(path: Path, folders: list[Path], indices: dict) -> list[dict]:
    content = read_json(path, KEYS)
    for image in content['images']:
        _check_entry(image, ('id', 'file_name', 'height', 'width'), f'{path}: image')
    images = {image['id']: image for image in content['images']}
    objects, num_outside = defaultdict(list), 0
    for entry in content['annotations']:
        _check_entry(entry, ('image_id', 'category_id'), f'{path}: annotation')
        where = f'{path}, annotation {entry.get("id")}'
        image = images.get(entry['image_id'])
        if image is None:
            raise ValueError(
                f'{where}: image_id {entry["image_id"]} is none of the images; export again'
            )
        if entry['category_id'] not in indices:
            raise ValueError(
                f'{where}: category_id {entry["category_id"]} is none of the categories '
                f'{first_names([str(key) for key in indices])}; add it there'
            )
        shape = as_shape(entry.get('segmentation'), (image['height'], image['width']), where)
        if isinstance(shape, list):
            size = (image['height'], image['width'])
            num_outside += any(has_outside(points, size) for points in shape)
        crowd = bool(entry.get('iscrowd'))
        objects[image['id']].append((indices[entry['category_id']], shape, crowd))
    warn_outside(num_outside, len(content['annotations']), path)
    return [
        {
            'img_path': str(picture),
            'annotation': {
                'file': str(path),
                'size': (image['height'], image['width']),
                'objects': objects[image['id']],
            },
        }
        for picture, image in _paired(path, folders, list(images.values()))
    ]


def _paired(path: Path, folders: list[Path], images: list[dict]) -> list[tuple[Path, dict]]:
    """Find the pictures, all in the one folder that has most of them."""
    if not images:
        raise FileNotFoundError(f'{path} names 0 images; export the split again')
    names = [image['file_name'] for image in images]
    missing = names
    for folder in folders:
        absent = [name for name in names if not (folder / name).is_file()]
        if len(absent) < len(missing):
            missing, best = absent, folder
        if not absent:
            break
    if missing:
        tried = ', '.join(map(str, folders)) or f'no folder of pictures beside {path}'
        raise FileNotFoundError(
            f'{len(missing)} of {len(names)} pictures that {path} names are missing: '
            f'{first_names(missing)}; looked in {tried}, put them there'
        )
    return sorted(((best / i['file_name'], i) for i in images), key=lambda pair: pair[0])


def as_shape(segmentation: object, size: tuple[int, int], where: str) -> list[np.ndarray] | dict:
    """Check a ``segmentation``: a list of polygons, each (N, 2) float32, or run lengths.

    Raises:
        ModuleNotFoundError: compressed run lengths need pycocotools.
        ValueError: it is neither, or the run lengths are for another size.
    """
    if isinstance(segmentation, list) and segmentation:
        return [as_polygon(numbers, where).astype(np.float32) for numbers in segmentation]
    counts = segmentation.get('counts') if isinstance(segmentation, dict) else None
    if not isinstance(counts, list | str):
        raise ValueError(
            f'{where}: segmentation is {str(segmentation)[:40]}; expected polygons or run lengths '
            '(size, counts), boxes alone are not enough'
        )
    if tuple(segmentation.get('size', ())) != size:
        raise ValueError(
            f'{where}: run lengths for {segmentation.get("size")}; expected the height and width '
            f'of the image, {list(size)}'
        )
    if isinstance(counts, str):
        coco_masks()
    return {'size': size, 'counts': counts}
