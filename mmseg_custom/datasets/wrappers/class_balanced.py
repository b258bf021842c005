"""Pictures with rare classes more often.

Gupta, Dollár, Girshick, "LVIS", CVPR 2019, https://arxiv.org/abs/1908.03195, appendix B.
"""

from collections.abc import Mapping

import numpy as np
from mmengine.logging import print_log

from mmseg_custom.datasets.wrappers.base import DrawnDataset
from mmseg_custom.datasets.wrappers.class_pixels import ClassPixels
from mmseg_custom.datasets.wrappers.repeats import Repeats
from mmseg_custom.registry import DATASETS


def repeat_factors(counts: np.ndarray, threshold: float, min_pixels: int = 1) -> np.ndarray:
    """How often each picture is shown: by its rarest class.

    A class in the share ``f`` of the pictures has the factor ``max(1, sqrt(threshold / f))``, a
    picture the largest one of its classes.

    Args:
        counts: (N, K), pixels of each class in each picture.
        threshold: classes in fewer pictures than this share are shown more often, 0..1.
        min_pixels: of a class that a picture is said to hold.

    Returns:
        (N,) float64, from 1 on.
    """
    held = counts >= min_pixels
    share = np.maximum(held.mean(0), 1 / len(held))
    of_class = np.maximum(1, np.sqrt(threshold / share))
    return np.where(held, of_class, 1.0).max(1)


@DATASETS.register_module()
class ClassBalancedDataset(DrawnDataset):
    """mmengine's ``ClassBalancedDataset`` for label maps.

    mmengine's asks the data set for the classes of a picture, which no segmentation data set
    answers, and rounds every factor up. Here they are counted, and a factor holds on average over
    the passes (:class:`~mmseg_custom.datasets.wrappers.repeats.Repeats`).

    Args:
        dataset: config of the data set.
        oversample_thr: share of the pictures below which a class is rare, 0..1.
        min_pixels: fewest pixels of a class that a picture is said to hold.
        lazy_init: see the base class.

    Raises:
        ValueError: ``oversample_thr`` is not in 0..1.
    """

    def __init__(
        self, dataset: Mapping, oversample_thr: float, min_pixels: int = 1, lazy_init: bool = False
    ) -> None:
        if not 0 <= oversample_thr <= 1:
            raise ValueError(f'oversample_thr={oversample_thr}; expected a share from 0 to 1')
        self.oversample_thr = oversample_thr
        self.min_pixels = min_pixels
        super().__init__(dataset, lazy_init)

    def prepare(self, pixels: ClassPixels) -> None:
        """Compute the factors."""
        factors = repeat_factors(pixels.counts, self.oversample_thr, self.min_pixels)
        self._slots = Repeats(factors)
        print_log(
            f'class-balanced: {(factors > 1).sum()} of {len(factors)} pictures are shown more than '
            f'once, up to {factors.max():.2f} times; a pass has {len(self._slots)}',
            'current',
        )

    def __len__(self) -> int:
        self.full_init()
        return len(self._slots)

    def sample_of(self, index: int) -> int:
        """Return the picture of a slot of the pass."""
        self.full_init()
        return self._slots.sample_of(index)
