"""Mean and standard deviation of each band over all pixels of a data set."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmseg_custom.datasets.band_files import BAND_SUFFIXES
from mmseg_custom.datasets.class_balance import keep_steps
from mmseg_custom.datasets.dataset_yaml import YAML_NAME, read_dataset_yaml
from mmseg_custom.labels import IGNORE_INDEX
from mmseg_custom.registry import DATASETS, SCOPE
from mmseg_custom.wrapped import inner_configs
from mmseg_custom.writing import write_atomically

PIXELS_AT_ONCE = 1 << 20


@dataclass
class BandStatistics:
    """What is known of the pixels so far, each array float64 (C,).

    Pictures are added in blocks whose means and squared deviations are merged as in Chan, Golub and
    LeVeque, http://i.stanford.edu/pub/cstr/reports/cs/tr/79/773/CS-TR-79-773.pdf, so that nothing
    cancels however many there are.
    """

    count: int
    mean: np.ndarray
    squares: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray

    @classmethod
    def empty(cls, num_bands: int) -> 'BandStatistics':
        """No pixels of ``num_bands`` bands."""
        zeros, infinite = np.zeros(num_bands), np.full(num_bands, np.inf)
        return cls(0, zeros, zeros.copy(), infinite, -infinite)

    @property
    def std(self) -> np.ndarray:
        """Of all pixels, not an estimate from a sample."""
        return np.sqrt(self.squares / max(self.count, 1))

    def reversed(self) -> 'BandStatistics':
        """The same with the bands in the other order, as ``bgr_to_rgb`` turns them."""
        arrays = (self.mean, self.squares, self.minimum, self.maximum)
        return BandStatistics(self.count, *(array[::-1] for array in arrays))

    def add(self, pixels: np.ndarray) -> None:
        """Add pixels (n, C) of any numbers."""
        for start in range(0, len(pixels), PIXELS_AT_ONCE):
            self._merge(pixels[start : start + PIXELS_AT_ONCE].astype(np.float64))

    def _merge(self, block: np.ndarray) -> None:
        total, mean = self.count + len(block), block.mean(axis=0)
        shift = mean - self.mean
        self.squares = (
            self.squares
            + ((block - mean) ** 2).sum(axis=0)
            + shift**2 * (self.count * len(block) / total)
        )
        self.mean = self.mean + shift * (len(block) / total)
        self.count = total
        self.minimum = np.minimum(self.minimum, block.min(axis=0))
        self.maximum = np.maximum(self.maximum, block.max(axis=0))


def folder_config(folder: str, split: str, with_masks: bool = False) -> dict:
    """The config of a data set of your own, of which :func:`measure_bands` reads the pictures."""
    return dict(
        type='FolderDataset',
        data_root=folder,
        split=split,
        img_suffix=BAND_SUFFIXES,
        with_masks=with_masks,
        test_mode=not with_masks,
        pipeline=[dict(type='LoadBandsFromFile'), dict(type='LoadAnnotations')],
    )


def measure_bands(
    dataset: dict, labelled_only: bool = False, tick: Callable[[int, int], None] | None = None
) -> BandStatistics:
    """Read every picture of a data set once.

    Args:
        dataset: its config, possibly inside wrappers. All bands of the files are measured,
            whichever its pipeline takes; pixels without data (``nodata``) are left out.
        labelled_only: leave out pixels whose label is 255, too.
        tick: called with the number of pictures done and in all.

    Returns:
        The statistics, in the order in which the pipeline loads the bands.

    Raises:
        ValueError: pictures differ in their number of bands, or no pixel is left.
    """
    dataset = copy.deepcopy(dataset)
    keep_steps(dataset, 'FromFile', *['LoadAnnotations'] * labelled_only)
    for member in inner_configs(dataset):
        _take_all_bands(member)
    built = DATASETS.build({'_scope_': SCOPE, **dataset})
    statistics = first = None
    for index in range(len(built)):
        results = built[index]
        image = results['img'] if results['img'].ndim == 3 else results['img'][..., None]
        if statistics is None:
            statistics, first = BandStatistics.empty(image.shape[2]), results['img_path']
        if image.shape[2] != len(statistics.mean):
            raise ValueError(
                f'{results["img_path"]} has {image.shape[2]} bands, but {first} has '
                f'{len(statistics.mean)}; expected as many in each, remove or export one of them'
            )
        statistics.add(image[_used(results, labelled_only)])
        if tick is not None:
            tick(index + 1, len(built))
    if not statistics.count:
        raise ValueError('no pixel is left to measure: all are without data or ignored')
    return statistics


def _take_all_bands(dataset: dict) -> None:
    """Let the loader of bands take all, and know which value marks pixels without data."""
    loader = dataset['pipeline'][0]
    if not loader['type'].endswith('LoadBandsFromFile'):
        return
    loader.pop('bands', None)
    cls = DATASETS.get(dataset['type'])
    if loader.get('nodata') is None and hasattr(cls, 'metainfo_from_config'):
        loader['nodata'] = cls.metainfo_from_config(dataset).get('nodata')


def _used(results: dict, labelled_only: bool) -> np.ndarray:
    """The pixels to measure, bool (H, W)."""
    used = ~results.get('nodata', np.zeros(results['img'].shape[:2], bool))
    return used & (results['gt_seg_map'] != IGNORE_INDEX) if labelled_only else used


def rounded(values: np.ndarray) -> list[float]:
    """Seven digits, as many as the network's float32 has."""
    return [float(f'{value:.7g}') for value in values]


def write_statistics(folder: str | Path, statistics: BandStatistics) -> Path:
    """Add ``mean`` and ``std`` to ``dataset.yaml`` and return its path.

    Raises:
        ValueError: the file has them already.
    """
    path, found = Path(folder, YAML_NAME), read_dataset_yaml(folder)
    if {'mean', 'std'} & set(found):
        raise ValueError(f'{path} already has mean or std; take these lines out to write new ones')
    text = path.read_text(encoding='utf-8').rstrip('\n')
    lines = [f'{key}: {rounded(getattr(statistics, key))}' for key in ('mean', 'std')]
    write_atomically(path, '\n'.join([text, *lines, '']).encode())
    return path
