"""Which files of a folder its data set reads."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from mmseg_custom.datasets.annotations import is_foreign
from mmseg_custom.datasets.dataset_yaml import YAML_NAME
from mmseg_custom.datasets.folder import FolderDataset
from mmseg_custom.datasets.inspection.sources import folder_splits
from mmseg_custom.registry import register_all

NEEDED = ('train', 'val')


@dataclass(frozen=True)
class FolderContent:
    """What a folder holds.

    Attributes:
        classes: names in index order.
        splits: number of samples by split.
        left_out: why a further split is not used, by split.
        files: paths below the folder, with ``/``: pictures, masks or annotations, and what
            describes them.
    """

    classes: tuple[str, ...]
    splits: dict[str, int]
    left_out: dict[str, str]
    files: tuple[str, ...]


def read_folder(folder: str | os.PathLike) -> FolderContent:
    """List the samples of every split as a training does.

    Args:
        folder: of pictures and masks, or annotations; see
            :class:`~mmseg_custom.datasets.folder.FolderDataset`.

    Raises:
        FileNotFoundError: there is no such folder, or a split to train or validate on is missing.
        ValueError: the data set does not fit, or names files that lie elsewhere.
    """
    register_all()
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder} is no folder; expected one with pictures and masks')
    splits = {split: _open(folder, split) for split in NEEDED}
    left_out, others = {}, folder_splits(folder)
    for split in dict.fromkeys(['test', *others]):
        try:
            splits[split] = _open(folder, split)
        except (ValueError, OSError) as error:
            if split in others or not isinstance(error, FileNotFoundError):
                left_out[split] = ' '.join(str(error).split())
    files: set[Path] = {path for dataset in splits.values() for path in _files_of(dataset)}
    files.update(_descriptions(folder))
    return FolderContent(
        splits['train'].metainfo['classes'],
        {split: len(dataset) for split, dataset in splits.items()},
        left_out,
        tuple(_below(path, folder) for path in sorted(files)),
    )


def pictures_of(folder: str | os.PathLike, split: str) -> list[Path]:
    """The pictures of a split, sorted.

    Raises:
        FileNotFoundError: there is no such split.
    """
    register_all()
    return [Path(sample['img_path']) for sample in _open(Path(folder), split).data_list]


def _open(folder: Path, split: str) -> FolderDataset:
    dataset = FolderDataset(str(folder), split, pipeline=[], serialize_data=False, lazy_init=True)
    dataset.full_init()
    return dataset


def _files_of(dataset: FolderDataset) -> set[Path]:
    """Pictures, masks and annotations of a split, and its list file."""
    found = {Path(dataset.ann_file)} if dataset.ann_file else set()
    for sample in dataset.data_list:
        annotation = sample.get('annotation') or {}
        paths = (sample['img_path'], sample.get('seg_map_path'), annotation.get('file'))
        found.update(Path(path) for path in paths if path)
    return {path for path in found if path.is_file()}


def _descriptions(folder: Path) -> set[Path]:
    """``dataset.yaml`` and what Ultralytics has in its place, with the lists it names."""
    found = {folder / YAML_NAME} if (folder / YAML_NAME).is_file() else set()
    for path in (*folder.glob('*.yaml'), *folder.glob('*.yml')):
        if is_foreign(path):
            content = yaml.safe_load(path.read_text(encoding='utf-8'))
            found |= {path, *_lists(folder, content)}
    return found


def _lists(folder: Path, content: Mapping) -> set[Path]:
    entries = [one for split in ('train', 'val', 'test') for one in _as_list(content.get(split))]
    places = (folder / str(content.get('path') or '') / str(entry) for entry in entries)
    return {place for place in places if place.is_file()}


def _as_list(value) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]


def _below(path: Path, folder: Path) -> str:
    """The path below the folder, links within it not followed.

    Raises:
        ValueError: it lies elsewhere.
    """
    relative = Path(os.path.relpath(os.path.abspath(path), os.path.abspath(folder)))
    if relative.parts[0] == os.pardir:
        raise ValueError(
            f'{path} is used by the data set but lies outside its folder {folder}; move or link it '
            'into the folder and correct its path'
        )
    return relative.as_posix()
