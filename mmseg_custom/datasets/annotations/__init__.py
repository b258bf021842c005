"""Annotations beside the pictures that are no mask files of ours, accepted as they are."""

from collections.abc import Sequence
from pathlib import Path

from mmseg_custom.datasets.annotations.coco import find_coco, read_coco
from mmseg_custom.datasets.annotations.labelme import FOLDERS, find_labelme, read_labelme
from mmseg_custom.datasets.annotations.source import AnnotationSource, ClassNames, ObjectReader
from mmseg_custom.datasets.annotations.ultralytics import (
    SPLITS,
    find_yaml,
    is_foreign,
    read_ultralytics,
)

__all__ = ['AnnotationSource', 'ClassNames', 'ObjectReader', 'detect', 'is_foreign']


# Where masks lie; annotations beside them are what they were made from.
MASK_FOLDERS = ('masks/{split}', 'annotations/{split}', '{split}/masks', 'masks')


def detect(
    root: str | Path | None, split: str, classes: Sequence[str] | None = None
) -> AnnotationSource | None:
    """Find annotations that are not ``masks/<split>``.

    Looked for in this order: the YAML of an Ultralytics data set; COCO's JSON of the split;
    LabelMe's JSON beside the pictures. A folder of masks goes before the last two.

    Args:
        root: the data set's folder.
        split: e.g. ``'train'``.
        classes: the user's class names in index order; the annotations' own by default.

    Returns:
        What was found, or None. Samples are read when they are asked for.

    Raises:
        FileNotFoundError: what the annotations name is missing.
        ValueError: the annotations do not fit.
    """
    if root is None or not Path(root).is_dir():
        return None
    root = Path(root)
    description = find_yaml(root)
    if description is not None:
        return read_ultralytics(description, split, classes)
    if any((root / name.format(split=split)).is_dir() for name in MASK_FOLDERS):
        return None
    path = find_coco(root, split)
    if path is not None:
        return read_coco(path, root, split, classes)
    folder = find_labelme(root, split)
    if folder is not None:
        others = [root / name.format(split=other) for other in SPLITS for name in FOLDERS]
        return read_labelme(folder, classes, [other for other in others if other.is_dir()])
    return None
