"""Filling the cache of decoded pictures before a training starts."""

import itertools
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import filelock
import torch
from mmengine.logging import print_log
from rich.console import Console
from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from mmseg_custom.datasets.cache import CachedLoading, write
from mmseg_custom.datasets.wrappers.remapping import RemapClasses
from mmseg_custom.parallel import usable_cores
from mmseg_custom.registry import DATASETS
from mmseg_custom.wrapped import inner_datasets
from mmseg_custom.writing import PARTIAL_SUFFIX

LOCK_NAME = 'building.lock'
# Samples that say how much room all will take.
NUM_MEASURED = 16
# What a disk has to have left when the cache is built.
SPARE_BYTES = 2**28
NUM_NAMES_SHOWN = 3
OTHER_DISK = 'take a folder on another disk with cache_images=FOLDER, or leave cache_images out'


class NoRoomError(OSError):
    """The disk has less room than a cache needs."""


@DATASETS.register_module()
def CachedDataset(dataset, folder: str):
    """Build a data set whose pictures and labels are read from a cache, which is filled first.

    The transforms at the start of its pipeline whose names begin with ``Load`` are those whose
    results are kept, in the classes of the ``ConcatDataset`` around it; data sets inside wrappers
    each get theirs.

    Args:
        dataset: a data set or the config of one.
        folder: of the cache; several data sets and runs may share one.

    Returns:
        That data set, with other transforms.

    Raises:
        ValueError: a pipeline does not begin with a loading transform.
        OSError: the disk has too little room, or the folder cannot be written to.
    """
    if isinstance(dataset, dict):
        dataset = DATASETS.build(dataset)
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    for source in inner_datasets(dataset):
        steps = source.pipeline.transforms
        loading = [*itertools.takewhile(_is_loading, steps)]
        if all(isinstance(step, RemapClasses) for step in loading):
            first = type(steps[len(loading)]).__name__ if steps[len(loading) :] else 'nothing'
            raise ValueError(
                f'cache_images: the training pipeline begins with {first}; expected '
                'LoadImageFromFile, or leave cache_images out'
            )
        keys = {key for index in range(len(source)) for key in source.get_data_info(index)}
        cached = CachedLoading(folder, loading, sorted(keys))
        build_cache(source, cached)
        source.pipeline.transforms = [cached, *steps[len(loading) :]]
    return dataset


def _is_loading(step) -> bool:
    return type(step).__name__.startswith('Load') or isinstance(step, RemapClasses)


def build_cache(source, cached: CachedLoading, num_workers: int | None = None) -> None:
    """Store every sample that the cache does not hold as it is now.

    Of several processes one builds and the others wait; a build that was stopped goes on where it
    was.

    Args:
        source: the data set.
        cached: its loading transforms.
        num_workers: processes; by default one for each core.

    Raises:
        OSError: the disk has too little room, or the folder cannot be written to.
    """
    folder = cached.folder
    missing = _missing(source, cached)
    try:
        if missing:
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder):
                # Another process may have stored them meanwhile.
                missing = _missing(source, cached)
                if missing:
                    _store(source, cached, missing, num_workers or usable_cores())
    except NoRoomError:
        raise
    except OSError as error:
        # That of a worker holds its traceback.
        reason = error.strerror or str(error).strip().splitlines()[-1]
        raise OSError(f'cannot fill the cache {folder}: {reason}; {OTHER_DISK}') from error
    sizes = _stored_sizes(source, cached)
    print_log(
        f'cache {folder}: {len(sizes)} of {len(source)} pictures with labels, '
        f'{sum(sizes) / 1e9:.2f} GB; {len(missing)} of them were not in it before',
        logger='current',
    )


def _missing(source, cached: CachedLoading) -> list[int]:
    infos = map(source.get_data_info, range(len(source)))
    return [index for index, info in enumerate(infos) if not cached.is_stored(info)]


def _locked(folder: Path):
    """Hold the lock of the folder; a process that ends, however it does, gives it back."""
    lock = filelock.FileLock(folder / LOCK_NAME)
    try:
        return lock.acquire(timeout=0)
    except filelock.Timeout:
        print_log(f'another process fills the cache {folder}; waiting for it', logger='current')
        return lock.acquire()


def _store(source, cached: CachedLoading, missing: Sequence[int], num_workers: int) -> None:
    """Store samples in several processes, if there is room for them."""
    for left_over in cached.folder.glob(f'*/*{PARTIAL_SUFFIX}*'):
        left_over.unlink()
    jobs = _Jobs(source, cached)
    # Evenly spread ones, for neighbours have often the same size.
    measured = list(missing[:: max(1, len(missing) // NUM_MEASURED)])
    done = [jobs[index] for index in measured]
    rest = sorted({*missing} - {*measured})
    sizes = [size for size, _ in done if size]
    if rest and sizes:
        _check_room(cached.folder, len(rest), sum(sizes) / len(sizes))
    loader = DataLoader(
        jobs,
        batch_size=None,
        sampler=rest,
        num_workers=min(num_workers, len(rest)),
        # Without one it draws from the training's.
        generator=torch.Generator(),
    )
    console = Console(stderr=True)
    done += track(
        loader, f'filling {cached.folder}', console=console, disable=not console.is_terminal
    )
    problems = [problem for _, problem in done if problem]
    if problems:
        more = ', ...' if len(problems) > NUM_NAMES_SHOWN else ''
        print_log(
            f'{len(problems)} pictures are not in the cache {cached.folder}: '
            f'{"; ".join(problems[:NUM_NAMES_SHOWN])}{more}',
            logger='current',
            level=logging.WARNING,
        )


class _Jobs(Dataset):
    """Stores the sample of an index; gives its bytes, and in words why it could not be read.

    A picture that cannot be read is left to the training, which says so when it reads it.
    """

    def __init__(self, source, cached: CachedLoading) -> None:
        self.source, self.cached = source, cached

    def __getitem__(self, index: int) -> tuple[int, str]:
        sample = self.source.get_data_info(index)
        try:
            states, added = self.cached.load(sample)
        except Exception as error:
            return 0, f'{sample["img_path"]}: {" ".join(repr(error).split())}'
        return write(self.cached.path(sample), states, added), ''


def _check_room(folder: Path, number: int, mean_bytes: float) -> None:
    free, needed = shutil.disk_usage(folder).free, number * mean_bytes
    if needed + SPARE_BYTES > free:
        raise NoRoomError(
            f'the cache {folder} needs {needed / 1e9:.1f} GB more for {number} pictures of '
            f'{mean_bytes / 1e6:.2f} MB, but its disk has {free / 1e9:.1f} GB left; {OTHER_DISK}'
        )


def _stored_sizes(source, cached: CachedLoading) -> list[int]:
    paths = (cached.path(source.get_data_info(index)) for index in range(len(source)))
    return [os.path.getsize(path) for path in paths if os.path.isfile(path)]
