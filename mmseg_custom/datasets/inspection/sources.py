"""Which data sets there are to inspect: those of a config's loaders."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mmseg.datasets import BaseSegDataset

from mmseg_custom.datasets.dataset_yaml import read_dataset_yaml
from mmseg_custom.datasets.folder_layout import OTHER_SPLIT_NAMES, FolderLayout
from mmseg_custom.datasets.inspection.scanning import rules_of
from mmseg_custom.datasets.inspection.totals import Split
from mmseg_custom.registry import DATASETS, SCOPE
from mmseg_custom.wrapped import inner_configs


def open_splits(datasets: Mapping[str, Mapping]) -> list[Split]:
    """Build the data sets, without their pipelines; what does not build keeps its error.

    Args:
        datasets: the config of a data set, possibly inside wrappers, for each name of a split.
            Splits with the same config become one.
    """
    merged: list[tuple[list[str], Mapping]] = []
    for name, dataset in datasets.items():
        for leaf in inner_configs(dataset):
            same = next((names for names, other in merged if _files(other) == _files(leaf)), None)
            if same is None:
                merged.append(([name], leaf))
            elif name not in same:
                same.append(name)
    splits = [open_split(', '.join(names), leaf) for names, leaf in merged]
    for name, count in Counter(split.name for split in splits).items():
        members = [split for split in splits if split.name == name]
        for number, split in enumerate(members, start=1):
            split.member = f'{number} of {count}' * (count > 1)
    return splits


def _files(dataset: Mapping) -> dict:
    """What says which files a data set reads."""
    return {key: dataset[key] for key in dataset if key not in ('pipeline', 'test_mode')}


def open_split(name: str, dataset: Mapping, keep_error: bool = True) -> Split:
    """Build one data set without its pipeline.

    Args:
        name: of the split.
        dataset: the config.
        keep_error: whether an error becomes :attr:`Split.error` or is raised.
    """
    try:
        # Lazily: a data set that is listed for a check only need not be packed for loader workers.
        built = DATASETS.build({'_scope_': SCOPE, **dataset, 'pipeline': [], 'lazy_init': True})
        built.serialize_data = False
        built.full_init()
    except (ValueError, TypeError, OSError) as error:
        if not keep_error:
            raise
        return Split(name, error=' '.join(str(error).split()))
    return Split(name, built, rules_of(built, dataset.get('pipeline') or []))


def is_inspectable(dataset: Mapping) -> bool:
    """Whether a data set lists its samples as mmseg's do."""
    cls = dataset['type']
    cls = DATASETS.get(cls) if isinstance(cls, str) else cls
    return isinstance(cls, type) and issubclass(cls, BaseSegDataset)


def folder_config(root: str | Path) -> str:
    """The config that trains a folder of one's own: that for bands where it names some."""
    try:
        bands = '_bands' if 'bands' in read_dataset_yaml(root) else ''
    except (OSError, ValueError):
        bands = ''  # opening the splits says what is wrong with it
    return f'segformer/segformer_mit-b0_folder{bands}.py'


def folder_splits(root: str | Path) -> list[str]:
    """Names of the splits of a folder of one's own beside ``train`` and ``val``."""
    try:
        facts = read_dataset_yaml(root)
    except (OSError, ValueError):
        return []  # opening the splits says what is wrong with it
    keys = ('images', 'masks', 'splits', 'val_share')
    layout = FolderLayout(Path(root), **{key: facts[key] for key in keys if key in facts})
    known = {'train', 'val', *layout.splits.values()}
    known.update(other for names in OTHER_SPLIT_NAMES.values() for other in names)
    return [name for name in layout.splits_there() if name not in known]
