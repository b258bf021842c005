"""Your own pictures: a folder of images, a folder of masks, and a ``dataset.yaml``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from mmseg_custom.datasets.paired import IGNORE_INDEX, PairedDataset
from mmseg_custom.datasets.palette import distinct_palette
from mmseg_custom.datasets.task_classes import TASKS, check_task, classes_of_task
from mmseg_custom.messages import did_you_mean
from mmseg_custom.registry import DATASETS

YAML_NAME = 'dataset.yaml'
YAML_KEYS = ('name', 'classes', 'palette', 'ignore_index', 'task')
METAINFO_KEYS = ('classes', 'palette', 'ignore_index', 'task')
# Names that other tools use for the same thing and that no spelling distance would find.
OTHER_NAMES = {
    'names': 'classes',
    'labels': 'classes',
    'class_names': 'classes',
    'colors': 'palette',
    'colours': 'palette',
    'ignore_label': 'ignore_index',
    'ignore': 'ignore_index',
}
MAX_CLASSES = 255


def read_dataset_yaml(root: str | Path) -> dict:
    """Read and check ``dataset.yaml`` of a data set's folder.

    Args:
        root: the folder.

    Returns:
        The keys that the file has: ``name`` (str), ``classes`` (tuple of str), ``palette`` (list of
        ``[R, G, B]``, 0-255), ``ignore_index`` (int, 0-255), ``task`` (``semantic`` or ``binary``).

    Raises:
        FileNotFoundError: no folder, or no such file in it.
        ValueError: the file is no YAML, has unknown keys, or a value does not fit.
    """
    path = Path(root) / YAML_NAME
    if not path.is_file():
        what = 'file' if path.parent.is_dir() else f'folder {path.parent}, so no file'
        raise FileNotFoundError(
            f"no {what} {path}; expected at least 'classes: [background, thing]' in it, "
            'or metainfo=dict(classes=(...)) in the config'
        )
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        line = f', line {mark.line + 1}' if mark else ''
        problem = getattr(error, 'problem', None) or str(error).splitlines()[0]
        raise ValueError(
            f"{path}{line} is not valid YAML: {problem}; expected lines such as 'classes: [a, b]'"
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is not UTF-8 text ({error.reason}); save it as UTF-8') from error
    if not isinstance(content, dict):
        raise ValueError(
            f'{path} holds {_described(content)}; expected keys {", ".join(YAML_KEYS)}, '
            "at least 'classes: [background, thing]'"
        )
    return _checked(content, YAML_KEYS, str(path))


def folder_metainfo(data_root: str | Path | None, metainfo: Mapping | None = None) -> dict:
    """Classes, palette and ignore value of a folder, without looking at any picture.

    Args:
        data_root: folder with ``dataset.yaml``; the file may be missing when ``metainfo`` gives
            the classes.
        metainfo: the same keys from the config. Palette and ignore value win over the file's.
            Where ``task`` is ``binary``, classes may name the foreground only.

    Returns:
        ``dict(classes=tuple of str, palette=list of [R, G, B], ignore_index=int, task=str)``; the
        palette is generated where none is given, the ignore value is 255 and the task ``semantic``
        where none is given.

    Raises:
        FileNotFoundError: nothing gives the classes.
        ValueError: a value does not fit, or file and config name different classes or tasks.
    """
    given = _checked(dict(metainfo or {}), METAINFO_KEYS, 'metainfo')
    if data_root is None and 'classes' not in given:
        raise ValueError('neither data_root nor metainfo.classes is set; set data_root=my/folder')
    if data_root is not None and (
        'classes' not in given or (Path(data_root) / YAML_NAME).is_file()
    ):
        found = read_dataset_yaml(data_root)
        path = Path(data_root) / YAML_NAME
        classes = found.get('classes', given.get('classes'))
        if classes is None:
            raise ValueError(f"{path} has no key classes; add 'classes: [background, thing]'")
        if given.get('classes', classes) != classes:
            raise ValueError(
                f'metainfo has the classes {list(given["classes"])} but {path} has '
                f'{list(classes)}; give them in one place only'
            )
        tasks = {facts['task'] for facts in (given, found) if 'task' in facts}
        if len(tasks) > 1:
            raise ValueError(
                f'task={given["task"]} but {path} has task: {found["task"]}; leave one of them out'
            )
        found.pop('name', None)
        given = {**found, **given, 'classes': classes}
    task = given.get('task', TASKS[0])
    classes = classes_of_task(given['classes'], task)
    palette = given.get('palette') or distinct_palette(classes)
    if len(palette) != len(classes):
        raise ValueError(
            f'palette has {len(palette)} colours but there are {len(classes)} classes; '
            'give one [r, g, b] per class, or leave the palette out to get one made'
        )
    ignore_index = given.get('ignore_index', IGNORE_INDEX)
    if ignore_index < len(classes):
        raise ValueError(
            f"ignore_index={ignore_index} is also the index of class '{classes[ignore_index]}'; "
            'take a value that is no class, or, if 0 means unlabelled and classes count from 1, '
            'leave ignore_index out and set reduce_zero_label=True'
        )
    return {'classes': classes, 'palette': palette, 'ignore_index': ignore_index, 'task': task}


def _described(value) -> str:
    return 'nothing' if value is None else f'{type(value).__name__} {value!r}'


def _checked(content: dict, keys: Sequence[str], where: str) -> dict:
    """Return ``content`` with its values checked and in their final types."""
    for key in content:
        if key not in keys:
            name = str(key)
            hint = did_you_mean(OTHER_NAMES.get(name.lower(), name), keys)
            known = f'(known: {", ".join(keys)})'
            offer = f'; {hint}' if hint else ''
            raise ValueError(f"{where}: unknown key '{key}'{offer} {known}")
    checks = {
        'classes': _classes,
        'palette': _palette,
        'ignore_index': _ignore_index,
        'task': check_task,
    }
    return {
        key: checks[key](value, where) if key in checks else str(value)
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
            f'to {MAX_CLASSES}, since masks hold 8-bit indices'
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


@DATASETS.register_module()
class FolderDataset(PairedDataset):
    """A folder of your own: ``images/<split>``, ``masks/<split>`` and ``dataset.yaml``.

    A mask is a single-channel 8-bit PNG with the image's stem whose values are indices into
    ``classes``; pixels with the ignore value (255, or ``ignore_index`` of the file) are left out
    of loss and metrics, and reach the pipeline as 255.

    Args:
        data_root: the folder.
        split: name of the sub-folder, usually ``'train'``, ``'val'`` or ``'test'``.
        metainfo: ``classes``, ``palette``, ``ignore_index``, ``task``; see :func:`folder_metainfo`.
        kwargs: other arguments of :class:`~mmseg_custom.datasets.paired.PairedDataset`.

    Raises:
        FileNotFoundError: a folder, a mask or the class names are missing, or there are no images.
        ValueError: ``dataset.yaml`` or an argument does not fit, or stems occur twice.
    """

    def __init__(
        self, data_root: str, split: str = 'train', metainfo: Mapping | None = None, **kwargs
    ) -> None:
        if 'ignore_index' in kwargs:
            metainfo = {**(metainfo or {}), 'ignore_index': kwargs.pop('ignore_index')}
        facts = self.metainfo_from_config({'data_root': data_root, 'metainfo': metainfo})
        super().__init__(
            data_root,
            split,
            metainfo={'classes': facts['classes'], 'palette': facts['palette']},
            ignore_index=facts['ignore_index'],
            **kwargs,
        )
        # mmengine takes a text among the arguments for the name of a file.
        self._metainfo['task'] = facts['task']

    @classmethod
    def metainfo_from_config(cls, dataset: Mapping) -> dict:
        """Return :func:`folder_metainfo` of a data set's config, without building it."""
        return folder_metainfo(dataset.get('data_root'), dataset.get('metainfo'))
