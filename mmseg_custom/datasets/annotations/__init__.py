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
from mmseg_custom.datasets.folder_layout import BY_SPLIT, MASK_DIRS
from mmseg_custom.datasets.suffixes import MASK_SUFFIXES

__all__ = ['AnnotationSource', 'ClassNames', 'ObjectReader', 'detect', 'is_foreign']

# What exports of annotation tools call a split.
EXPORTED_SPLITS = {'val': ('valid', 'validation')}


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
    if _has_masks(root, split):
        return None
    for name in (split, *EXPORTED_SPLITS.get(split, ())):
        path = find_coco(root, name)
        if path is not None:
            return read_coco(path, root, name, classes)
        folder = find_labelme(root, name)
        if folder is not None:
            others = [*SPLITS, *(other for names in EXPORTED_SPLITS.values() for other in names)]
            folders = [
                root / pattern.format(split=other) for other in others for pattern in FOLDERS
            ]
            return read_labelme(folder, classes, [other for other in folders if other.is_dir()])
    return None


def _has_masks(root: Path, split: str) -> bool:
    """Whether a folder of masks is there; annotations beside it are what they were made from."""
    names = [style.format(name=name, split=split) for style in BY_SPLIT for name in MASK_DIRS]
    files = (path for name in names for path in (root / name).rglob('*'))
    return any(path.name.lower().endswith(MASK_SUFFIXES) for path in files)
