"""Data sets of Ultralytics: a YAML with ``names`` and image folders, and masks or polygons.

With ``masks_dir`` each picture has a mask file whose values are class ids, 255 ignored,
``label_mapping`` applied. Without it each picture has ``labels/.../<stem>.txt``: a line per object,
the class id and a polygon in shares of width and height. Where the image's path has ``images``, the
masks' or labels' has the other word.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from mmseg_custom.datasets.annotations.rasterising import has_outside
from mmseg_custom.datasets.annotations.source import (
    AnnotationSource,
    ClassNames,
    ObjectReader,
    as_polygon,
    warn,
    warn_outside,
)
from mmseg_custom.datasets.checks import IMAGE_SUFFIXES, find_by_stem, first_names
from mmseg_custom.datasets.label_map import LabelMap
from mmseg_custom.datasets.mask_reader import MaskReader
from mmseg_custom.labels import IGNORE_INDEX

SPLITS = ('train', 'val', 'test')
MASK_SUFFIXES = ('.png', '.bmp', '.tif', '.tiff')


def find_yaml(root: Path) -> Path | None:
    """Return the YAML of an Ultralytics data set directly in ``root``: ``names`` and a split.

    Raises:
        ValueError: there are several.
    """
    paths = sorted(path for path in root.iterdir() if path.suffix.lower() in ('.yaml', '.yml'))
    found = [path for path in paths if is_foreign(path)]
    if len(found) > 1:
        raise ValueError(
            f'{root} has several data set files: {first_names([p.name for p in found])}; expected '
            'one with names and train, move the others away'
        )
    return found[0] if found else None


def is_foreign(path: Path) -> bool:
    """Whether a YAML describes a data set of Ultralytics."""
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8')) if path.is_file() else None
    except (yaml.YAMLError, UnicodeDecodeError):
        # Whoever needs this file says what is wrong with it.
        return False
    return isinstance(content, dict) and 'names' in content and any(s in content for s in SPLITS)


def read_ultralytics(
    path: Path, split: str, classes: Sequence[str] | None = None
) -> AnnotationSource:
    """Read the description of an Ultralytics data set.

    Args:
        path: its YAML.
        split: ``'train'``, ``'val'`` or ``'test'``.
        classes: the user's class names; default the file's, with ``background`` before them where
            polygons do not cover everything.

    Raises:
        FileNotFoundError: a folder or a mask is missing.
        ValueError: the file or an annotation does not fit.
    """
    content = yaml.safe_load(path.read_text(encoding='utf-8'))
    names = _names(content['names'], path)
    if content.get(split) is None:
        there = ', '.join(name for name in SPLITS if content.get(name) is not None)
        raise ValueError(
            f'{path} has no split {split}; it has {there}, add {split}: images/{split}'
        )
    if content.get('masks_dir'):
        if classes is not None and list(classes) != names:
            raise ValueError(
                f'{path} has the classes {names} but {list(classes)} are asked for; masks hold '
                'indices, leave classes out'
            )
        values = _label_mapping(content.get('label_mapping') or {}, names, path)
        return AnnotationSource(
            tuple(names),
            lambda: _masked(path, content, split, str(content['masks_dir'])),
            MaskReader(LabelMap(tuple(names), values)),
        )
    numbered = ClassNames.of(names, classes, str(path))
    indices = [numbered.indices[name] for name in names]
    return AnnotationSource(
        numbered.classes,
        lambda: _outlined(path, content, split, indices),
        ObjectReader(numbered.background),
    )


def _names(names: object, path: Path) -> list[str]:
    if isinstance(names, Mapping):
        if sorted(names) != list(range(len(names))):
            raise ValueError(
                f'{path}: names has the ids {first_names([str(key) for key in names])}; expected '
                f'0 to {len(names) - 1}, each once'
            )
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(n, str) and n.strip() for n in names):
        raise ValueError(
            f'{path}: names is {names!r}; expected names, a list or 0: name, in quotes where YAML '
            "reads another type, e.g. 'no'"
        )
    return names


def _label_mapping(mapping: Mapping, names: Sequence[str], path: Path) -> tuple:
    """Read ``label_mapping``: pairs of a mask's value and a class id or 255."""
    ids = {**{index: index for index in range(len(names))}, IGNORE_INDEX: IGNORE_INDEX}
    for value, target in mapping.items():
        ids[value] = IGNORE_INDEX if target == 'ignore_label' else target
        if ids[value] not in (*range(len(names)), IGNORE_INDEX):
            raise ValueError(
                f'{path}: label_mapping has {value}: {target}; expected 0 to {len(names) - 1} or '
                'ignore_label'
            )
    # -1 occurs in mappings, but not in masks.
    return tuple((value, index) for value, index in ids.items() if value >= 0)


def _pictures(path: Path, content: Mapping, split: str) -> list[tuple[Path, Path, str]]:
    """List ``(folder, picture, stem below the folder)``, sorted by stem."""
    entries = content[split] if isinstance(content[split], list) else [content[split]]
    found = []
    for entry in entries:
        place = _resolve(path, content, str(entry))
        if place.is_file():
            lines = place.read_text(encoding='utf-8').split('\n')
            listed = [_resolve(path, content, line.strip()) for line in lines if line.strip()]
            missing = [str(picture) for picture in listed if not picture.is_file()]
            if missing:
                raise FileNotFoundError(
                    f'{len(missing)} of {len(listed)} pictures of {place} do not exist: '
                    f'{first_names(missing)}; correct the list'
                )
            found += [(picture.parent, picture, picture.stem) for picture in listed]
        else:
            stems = find_by_stem(place, IMAGE_SUFFIXES)
            found += [(place, place / name, stem) for stem, name in stems.items()]
    return sorted(found, key=lambda item: item[1])


def _resolve(path: Path, content: Mapping, entry: str) -> Path:
    """Find a folder or file that the YAML names: below its ``path``, or beside the YAML itself.

    ``path`` often names a folder of the machine where the data set was made, and exports write
    ``../train/images`` for ``train/images``.
    """
    base = Path(str(content.get('path') or ''))
    below = entry.removeprefix('../').removeprefix('./')
    bases = [base, path.parent / base, path.parent]
    places = [place / name for place in bases for name in (entry, below)]
    return next((place for place in places if place.exists()), path.parent / below)


def _beside(folder: Path, word: str, path: Path) -> Path:
    """Replace the last ``images`` of a folder by another word."""
    parts = list(folder.parts)
    if 'images' not in parts:
        raise ValueError(
            f"{path}: the pictures' folder {folder} has no part 'images' to replace by '{word}'; "
            'name it images/<split>'
        )
    parts[len(parts) - 1 - parts[::-1].index('images')] = word
    return Path(*parts)


def _masked(path: Path, content: Mapping, split: str, masks_dir: str) -> list[dict]:
    """List pictures with their mask files."""
    samples, missing = [], []
    pictures = _pictures(path, content, split)
    for folder, picture, stem in pictures:
        masks = _beside(folder, masks_dir, path)
        mask = next((m for s in MASK_SUFFIXES if (m := masks / f'{stem}{s}').is_file()), None)
        if mask is None:
            missing.append(f'{masks / stem}.png')
        samples.append({'img_path': str(picture), 'seg_map_path': str(mask)})
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} of {len(pictures)} pictures of {path} have no mask: expected '
            f'{first_names(missing)}; add the masks or correct masks_dir'
        )
    return samples


def _outlined(path: Path, content: Mapping, split: str, indices: list[int]) -> list[dict]:
    """List pictures with their polygons; one without a file has none, as Ultralytics has it."""
    samples, num_outside, num_objects, without = [], 0, 0, []
    for folder, picture, stem in _pictures(path, content, split):
        labels = _beside(folder, 'labels', path) / f'{stem}.txt'
        objects = read_polygons(labels, indices) if labels.is_file() else []
        if not labels.is_file():
            without.append(picture.name)
        num_objects += len(objects)
        num_outside += sum(has_outside(shape[0], (1, 1)) for _, shape, _ in objects)
        annotation = {'file': str(labels), 'size': None, 'objects': objects, 'normalised': True}
        samples.append({'img_path': str(picture), 'annotation': annotation})
    if len(without) == len(samples):
        raise FileNotFoundError(
            f'none of the {len(samples)} pictures of {path} has a label file: expected '
            f'{labels}; add the labels, or masks_dir for mask files'
        )
    if without:
        warn(
            f'{len(without)} of {len(samples)} pictures of {path} have no label file and are '
            f'background only: {first_names(without)}'
        )
    warn_outside(num_outside, num_objects, path)
    return samples


def read_polygons(path: Path, indices: Sequence[int]) -> list[tuple]:
    """Read a label file.

    Args:
        path: lines ``class x1 y1 x2 y2 ...``, coordinates 0-1; blank lines are left out.
        indices: class id of the file -> index or 255.

    Returns:
        ``(index, [polygon], False)`` per object, polygons (N, 2) float32.

    Raises:
        ValueError: a line does not fit.
    """
    objects = []
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        where = f'{path}, line {number}'
        if len(words) == 5:
            raise ValueError(
                f'{where}: a class and 4 numbers are a box; expected a polygon of at least 3 '
                'points, export the data set for segmentation'
            )
        if not words[0].isdecimal() or int(words[0]) >= len(indices):
            raise ValueError(
                f'{where}: class id {words[0]}; expected 0 to {len(indices) - 1}, the ids of names'
            )
        polygon = as_polygon(words[1:], where).astype(np.float32)
        objects.append((indices[int(words[0])], [polygon], False))
    return objects
