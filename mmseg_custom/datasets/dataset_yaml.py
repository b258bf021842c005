"""``dataset.yaml``: what a folder of pictures says about itself."""

import re
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path

import yaml

from mmseg_custom import bands
from mmseg_custom.datasets.label_map import MAX_CLASSES, LabelMap
from mmseg_custom.datasets.palette import distinct_palette
from mmseg_custom.datasets.task_classes import TASKS, check_task, classes_of_task
from mmseg_custom.labels import IGNORE_INDEX
from mmseg_custom.messages import did_you_mean

YAML_NAME = 'dataset.yaml'
UNQUOTED_COLOUR = re.compile(r'(?<![\'"])#[0-9a-fA-F]{6}\b')
METAINFO_KEYS = ('classes', 'palette', 'ignore_index', 'labels', 'task', *bands.CHECKS)
# Where the files are; each is also an argument of FolderDataset.
LAYOUT_KEYS = ('images', 'masks', 'splits', 'val_share', 'img_suffix', 'seg_map_suffix')
YAML_KEYS = ('name', *METAINFO_KEYS, *LAYOUT_KEYS)
# Names that other tools use for the same thing and that no spelling distance would find.
OTHER_NAMES = {
    'names': 'classes',
    'class_names': 'classes',
    'colors': 'palette',
    'colours': 'palette',
    'ignore_label': 'ignore_index',
    'ignore': 'ignore_index',
    'label_map': 'labels',
    'annotations': 'masks',
    'image_suffix': 'img_suffix',
    'mask_suffix': 'seg_map_suffix',
    'val_split': 'val_share',
}


def read_dataset_yaml(root: str | Path) -> dict:
    """Read and check ``dataset.yaml`` of a data set's folder.

    Args:
        root: the folder.

    Returns:
        The keys that the file has: ``name`` (str), ``classes`` (tuple of str), ``palette`` (list of
        ``[R, G, B]``, 0-255), ``ignore_index`` (int, 0-255), ``labels`` (name to raw values, see
        :meth:`~mmseg_custom.datasets.label_map.LabelMap.parse`), ``task`` (``semantic`` or
        ``binary``), what it says of bands (:mod:`mmseg_custom.bands`), and the keys of the layout,
        see
        :class:`~mmseg_custom.datasets.folder.FolderDataset`.

    Raises:
        FileNotFoundError: no folder, or no such file in it.
        ValueError: the file is no YAML, has unknown keys, or a value does not fit.
    """
    path = Path(root) / YAML_NAME
    if not path.is_file():
        what = 'file' if path.parent.is_dir() else f'folder {path.parent}, so no file'
        if what == 'file' and not any(path.parent.iterdir()):
            raise FileNotFoundError(
                f'the folder {path.parent} is empty; expected {YAML_NAME}, and pictures and masks '
                'such as images/train/a.jpg and masks/train/a.png'
            )
        raise FileNotFoundError(
            f"no {what} {path}; expected at least 'classes: [background, thing]' in it, "
            'or metainfo=dict(classes=(...)) in the config'
        )
    try:
        text = path.read_text(encoding='utf-8')
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        line = f', line {mark.line + 1}' if mark else ''
        problem = getattr(error, 'problem', None) or str(error).splitlines()[0]
        raise ValueError(
            f'{path}{line} is not valid YAML: {problem}; {_yaml_hint(text)}'
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is not UTF-8 text ({error.reason}); save it as UTF-8') from error
    if not isinstance(content, dict):
        raise ValueError(
            f'{path} holds {_described(content)}; expected keys {", ".join(YAML_KEYS)}, '
            "at least 'classes: [background, thing]'"
        )
    return checked(content, YAML_KEYS, str(path))


def _yaml_hint(text: str) -> str:
    colour = UNQUOTED_COLOUR.search(text)
    if colour:
        return f"a colour needs quotes: '{colour[0]}'"
    return "expected lines such as 'classes: [a, b]'"


def folder_metainfo(data_root: str | Path | None, metainfo: Mapping | None = None) -> dict:
    """Classes, palette and ignore value of a folder, without looking at any picture.

    Args:
        data_root: folder with ``dataset.yaml``; the file may be missing when ``metainfo`` gives
            the classes.
        metainfo: the same keys from the config. Palette and ignore value win over the file's.
            Where ``task`` is ``binary``, classes may name the foreground only.

    Returns:
        ``dict(classes=tuple of str, palette=list of [R, G, B], ignore_index=int, task=str)``, and
        ``labels``, a :class:`~mmseg_custom.datasets.label_map.LabelMap`, and what is known of the
        bands (:mod:`mmseg_custom.bands`), where they are given.
        The palette is that of the labels or generated where none is given, the ignore value 255,
        the task ``semantic``.

    Raises:
        FileNotFoundError: nothing gives the classes.
        ValueError: a value does not fit, or file and config name different classes or tasks.
    """
    given = checked(dict(metainfo or {}), METAINFO_KEYS, 'metainfo')
    sources = {'metainfo': given}
    if data_root is not None:
        path = Path(data_root) / YAML_NAME
        if path.is_file() or not {'classes', 'labels'} & given.keys():
            sources[str(path)] = read_dataset_yaml(data_root)
    task = _task(sources)
    classes, label_map = _classes_and_labels(sources, task)
    facts = {key: value for source in reversed(sources.values()) for key, value in source.items()}
    facts = {key: value for key, value in facts.items() if key in METAINFO_KEYS}
    palette = facts.get('palette') or (label_map.palette() if label_map else None)
    palette = palette or distinct_palette(classes)
    if len(palette) != len(classes):
        raise ValueError(
            f'palette has {len(palette)} colours but there are {len(classes)} classes; '
            'give one [r, g, b] per class, or leave the palette out to get one made'
        )
    ignore_index = facts.get('ignore_index', IGNORE_INDEX)
    if label_map and ignore_index != IGNORE_INDEX:
        raise ValueError(
            f"ignore_index={ignore_index} beside labels; expected one of them, write 'ignore: "
            f"{ignore_index}' under labels"
        )
    if ignore_index < len(classes):
        raise ValueError(
            f"ignore_index={ignore_index} is also the index of class '{classes[ignore_index]}'; "
            'take a value that is no class, or, if 0 means unlabelled and classes count from 1, '
            f"leave ignore_index out and write 'labels: {{ignore: 0, {classes[0]}: 1, ...}}' (or "
            'set reduce_zero_label=True)'
        )
    facts.update(classes=classes, palette=palette, ignore_index=ignore_index, task=task)
    return {**facts, 'labels': label_map} if label_map else facts


def _task(sources: Mapping[str, dict]) -> str:
    tasks = {where: source['task'] for where, source in sources.items() if 'task' in source}
    if len(set(tasks.values())) > 1:
        (_, task), (second, other) = tasks.items()
        raise ValueError(f'task={task} but {second} has task: {other}; leave one of them out')
    return next(iter(tasks.values()), TASKS[0])


def _classes_and_labels(
    sources: Mapping[str, dict], task: str
) -> tuple[tuple[str, ...], LabelMap | None]:
    """Find the classes and perhaps the label map in ``metainfo`` and the file, whoever has them."""
    named = {where: source['classes'] for where, source in sources.items() if 'classes' in source}
    labels = {where: source['labels'] for where, source in sources.items() if 'labels' in source}
    if len(labels) > 1:
        raise ValueError(f'{" and ".join(labels)} both have labels; give them in one place only')
    if len(set(named.values())) > 1:
        (first, classes), (second, others) = named.items()
        raise ValueError(
            f'{first} has the classes {list(classes)} but {second} has {list(others)}; give them '
            'in one place only'
        )
    classes = next(iter(named.values()), None)
    for where, content in labels.items():
        label_map = LabelMap.parse(content, classes, f'{where}: labels')
        classes = classes_of_task(_classes(label_map.classes, where), task)
        if len(classes) > len(label_map.classes):
            raise ValueError(
                f'{where}: labels name one class; name the background, too, e.g. '
                f"'labels: {{background: 0, {classes[1]}: 255}}'"
            )
        return classes, label_map
    if classes is None:
        where = next((where for where in sources if where != 'metainfo'), None)
        if where is None:
            raise ValueError(
                'neither data_root nor metainfo.classes is set; set data_root=my/folder'
            )
        raise ValueError(f"{where} has no key classes; add 'classes: [background, thing]'")
    return classes_of_task(classes, task), None


def _described(value) -> str:
    return 'nothing' if value is None else f'{type(value).__name__} {value!r}'


def checked(content: Mapping, keys: Sequence[str], where: str) -> dict:
    """Return ``content`` with its values checked and in their final types.

    Args:
        content: keys and values as a user wrote them; a key without a value is left out.
        keys: those that are known.
        where: where they are written, for messages.

    Raises:
        ValueError: a key is unknown, or a value does not fit.
    """
    for key in content:
        if key not in keys:
            name = str(key)
            hint = did_you_mean(OTHER_NAMES.get(name.lower(), name), keys)
            known = f'(known: {", ".join(keys)})'
            offer = f'; {hint}' if hint else ''
            raise ValueError(f"{where}: unknown key '{key}'{offer} {known}")
    return {
        key: CHECKS[key](value, where) if key in CHECKS else str(value)
        for key, value in content.items()
        if value is not None
    }


def _classes(value, where: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(
            f'{where}: classes is {_described(value)}; expected a list of names in index order, '
            'e.g. [background, thing]'
        )
    for index, name in enumerate(value):
        if not isinstance(name, str) or not name.strip():
            # YAML reads a bare no, off or 1 as False, False and 1.
            raise ValueError(
                f'{where}: classes[{index}] is {_described(name)}; expected a name, put it in '
                "quotes if it is one, e.g. 'no'"
            )
    doubled = sorted({name for name in value if list(value).count(name) > 1})
    if doubled:
        raise ValueError(f"{where}: class '{doubled[0]}' occurs twice; names must differ")
    if not 1 <= len(value) <= MAX_CLASSES:
        raise ValueError(
            f'{where}: classes has {len(value)} entries; expected 2 (e.g. [background, thing]) '
            f'to {MAX_CLASSES}, since labels are 8-bit indices'
        )
    return tuple(value)


def _palette(value, where: str) -> list[list[int]]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(
            f'{where}: palette is {_described(value)}; expected a list of [r, g, b], one per class'
        )
    for index, colour in enumerate(value):
        fits = (
            isinstance(colour, Sequence)
            and len(colour) == 3
            and all(_is_byte(channel) for channel in colour)
        )
        if not fits:
            raise ValueError(
                f'{where}: palette[{index}] is {_described(colour)}; expected [r, g, b] with '
                'whole numbers 0-255'
            )
    return [list(colour) for colour in value]


def _ignore_index(value, where: str) -> int:
    if not _is_byte(value):
        raise ValueError(
            f'{where}: ignore_index is {_described(value)}; expected a whole number 0-255'
        )
    return value


def _is_byte(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def _labels(value, where: str) -> dict:
    LabelMap.parse(value, where=f'{where}: labels')
    return dict(value)


def _splits(value, where: str) -> dict[str, str]:
    fits = isinstance(value, Mapping) and all(
        isinstance(name, str) for pair in value.items() for name in pair
    )
    if not fits or not value:
        raise ValueError(
            f'{where}: splits is {_described(value)}; expected list files or folders by split, '
            'e.g. {train: train.txt, val: val.txt}'
        )
    return dict(value)


def _val_share(value, where: str) -> float:
    if not isinstance(value, Real) or not 0 < value < 1:
        raise ValueError(
            f'{where}: val_share is {_described(value)}; expected a number between 0 and 1, '
            'e.g. 0.1'
        )
    return float(value)


def _text(key: str, example: str):
    def check(value, where: str) -> str:
        if not isinstance(value, str) or not value:
            raise ValueError(
                f'{where}: {key} is {_described(value)}; expected text such as {example}'
            )
        return value

    return check


def _img_suffix(value, where: str) -> tuple[str, ...]:
    one = _text('img_suffix', '.jpg')
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(one(suffix, where) for suffix in value)
    return (one(value, where),)


CHECKS = {
    **bands.CHECKS,
    'classes': _classes,
    'palette': _palette,
    'ignore_index': _ignore_index,
    'labels': _labels,
    'task': check_task,
    'images': _text('images', 'images/{split}'),
    'masks': _text('masks', 'masks/{split}'),
    'splits': _splits,
    'val_share': _val_share,
    'img_suffix': _img_suffix,
    'seg_map_suffix': _text('seg_map_suffix', '_mask.png'),
}
