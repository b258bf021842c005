"""Rare-class sampling: first a class, the rarer the likelier, then a picture that holds it.

Hoyer, Dai, Van Gool, "DAFormer", CVPR 2022, https://arxiv.org/abs/2111.14887, section 3.2.
"""

from collections.abc import Mapping

import numpy as np
from mmengine.logging import print_log

from mmseg_custom.datasets.wrappers.base import DrawnDataset
from mmseg_custom.datasets.wrappers.class_pixels import ClassPixels
from mmseg_custom.registry import DATASETS

MOST_CROPS = 10


def class_probabilities(pixels: np.ndarray, temperature: float) -> np.ndarray:
    """Softmax of ``(1 - share of the pixels) / temperature``, equations 3 and 4 of the paper.

    Args:
        pixels: of each class, (K,).
        temperature: the smaller, the more the rarest class is drawn; above 0.

    Returns:
        (K,) float64, sum 1.
    """
    exponents = (1 - pixels / pixels.sum()) / temperature
    weights = np.exp(exponents - exponents.max())
    return weights / weights.sum()


@DATASETS.register_module()
class RareClassDataset(DrawnDataset):
    """As many samples as the data set has, each drawn through a class.

    Classes that no picture holds ``min_pixels`` of are left out. Where the crop does not hold the
    class, another one of the same picture is taken, up to ten times.

    Args:
        dataset: config of the data set; its pipeline ends with ``PackSegInputs``.
        temperature: see :func:`class_probabilities`.
        min_pixels: of the class, in a picture that is drawn for it.
        min_crop_ratio: share of ``min_pixels`` that the crop must exceed; 0 takes any crop.
        lazy_init: see the base class.

    Raises:
        ValueError: a number is out of range, or no picture holds ``min_pixels`` of any class.
    """

    def __init__(
        self,
        dataset: Mapping,
        temperature: float = 0.01,
        min_pixels: int = 3000,
        min_crop_ratio: float = 0.5,
        lazy_init: bool = False,
    ) -> None:
        if temperature <= 0 or min_pixels < 1 or min_crop_ratio < 0:
            raise ValueError(
                f'temperature={temperature}, min_pixels={min_pixels}, min_crop_ratio='
                f'{min_crop_ratio}; expected above 0, from 1 on, and from 0 on'
            )
        self.temperature = temperature
        self.min_pixels = min_pixels
        self.min_crop_pixels = min_pixels * min_crop_ratio
        super().__init__(dataset, lazy_init)

    def prepare(self, pixels: ClassPixels) -> None:
        """Compute the probabilities, and which pictures hold which class."""
        from prettytable import PrettyTable

        held = pixels.counts >= self.min_pixels
        self.drawn_classes = np.flatnonzero(held.any(0))
        if not len(self.drawn_classes):
            raise ValueError(
                f'no picture holds {self.min_pixels} pixels of any class, the most are '
                f'{pixels.counts.max()}; set a smaller min_pixels, such as --cfg-options '
                f'"rare_class_sampling={{\'min_pixels\': {max(1, pixels.counts.max() // 10)}}}"'
            )
        self.pictures = {k: np.flatnonzero(held[:, k]) for k in self.drawn_classes.tolist()}
        total = pixels.counts.sum(0)
        probabilities = class_probabilities(total[self.drawn_classes], self.temperature)
        self._cumulative = np.cumsum(probabilities)
        table = PrettyTable(['class', 'share of pixels', 'pictures', 'probability'], align='r')
        for k, name in enumerate(pixels.classes):
            drawn = np.flatnonzero(self.drawn_classes == k)
            probability = f'{probabilities[drawn[0]]:.4f}' if len(drawn) else 'never drawn'
            share = total[k] / total.sum()
            table.add_row([name, f'{share:.2%}', int(held[:, k].sum()), probability])
        print_log(f'rare-class sampling\n{table}', 'current')

    def draw(self) -> tuple[int, int]:
        """Draw a class, and a picture that holds it: two indices."""
        self.full_init()
        place = np.searchsorted(self._cumulative, np.random.random_sample(), side='right')
        drawn = int(self.drawn_classes[min(place, len(self.drawn_classes) - 1)])
        pictures = self.pictures[drawn]
        return drawn, int(pictures[np.random.randint(len(pictures))])

    def sample_of(self, index: int) -> int:
        """Return a picture that is drawn; the index has no say."""
        return self.draw()[1]

    def __getitem__(self, index: int) -> dict:
        drawn, picture = self.draw()
        for _ in range(MOST_CROPS):
            sample = self.dataset[picture]
            if not self.min_crop_pixels:
                break
            labels = sample['data_samples'].gt_sem_seg.data
            if int((labels == drawn).sum()) > self.min_crop_pixels:
                break
        return sample
