"""How a binary model's scores depend on its threshold, and how honest its probabilities are."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmseg_custom.inference.labelled import Labelled
from mmseg_custom.labels import IGNORE_INDEX
from mmseg_custom.writing import whole_file

NUM_BINS = 1000
NUM_GROUPS = 10


@dataclass(frozen=True)
class Thresholds:
    """Counts of pixels by predicted probability, in :data:`NUM_BINS` bins of equal width.

    Attributes:
        positives: pixels of the foreground, int64 (bins,).
        negatives: pixels of the background, int64 (bins,).
        sums: of the probabilities in each bin, float64 (bins,).
    """

    positives: np.ndarray
    negatives: np.ndarray
    sums: np.ndarray

    def iou(self) -> tuple[np.ndarray, np.ndarray]:
        """IoU of the foreground (%) when probabilities from each threshold on count as it.

        Returns:
            Thresholds, and IoU of each; both (bins,).
        """
        true_positive = self.positives[::-1].cumsum()[::-1]
        false_positive = self.negatives[::-1].cumsum()[::-1]
        union = self.positives.sum() + false_positive
        thresholds = np.arange(len(self.positives)) / len(self.positives)
        return thresholds, 100 * true_positive / np.maximum(union, 1)

    def best(self) -> tuple[float, float]:
        """The threshold of the largest IoU, and that IoU (%)."""
        thresholds, iou = self.iou()
        return float(thresholds[iou.argmax()]), float(iou.max())

    def calibration(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ten groups of probabilities: their mean, the share of foreground, their pixels."""

        def grouped(values: np.ndarray) -> np.ndarray:
            return values.reshape(NUM_GROUPS, -1).sum(1)

        pixels = grouped(self.positives + self.negatives)
        some = np.maximum(pixels, 1)
        return grouped(self.sums) / some, grouped(self.positives) / some, pixels

    def calibration_error(self) -> float:
        """Expected calibration error, 0..1: Guo et al., https://arxiv.org/abs/1706.04599, (3)."""
        confidence, share, pixels = self.calibration()
        return float((abs(confidence - share) * pixels).sum() / max(pixels.sum(), 1))


def count_thresholds(pictures: Iterable[Labelled]) -> Thresholds:
    """Count the pixels of pictures of two classes, of which the second is the foreground.

    Raises:
        ValueError: there are more classes, or no labelled pixel.
    """
    counts = np.zeros((3, NUM_BINS))
    for one in pictures:
        if len(one.probs) != 2:
            raise ValueError(
                f'{len(one.probs)} classes: a threshold is chosen for two, background and '
                'foreground; for more see the IoU of each class in the report of tools/test.py'
            )
        probability = one.probs[1].astype(np.float64)
        bins = np.minimum((probability * NUM_BINS).astype(np.int64), NUM_BINS - 1)
        for row, chosen in enumerate((one.truth == 1, one.truth == 0)):
            counts[row] += np.bincount(bins[chosen], minlength=NUM_BINS)
        counted = one.truth != IGNORE_INDEX
        counts[2] += np.bincount(bins[counted], probability[counted], minlength=NUM_BINS)
    if not counts[:2].any():
        raise ValueError('no pixel is labelled; check the masks of the test pictures')
    return Thresholds(counts[0].astype(np.int64), counts[1].astype(np.int64), counts[2])


def plot_thresholds(found: Thresholds, threshold: float, out_png: Path) -> None:
    """Draw IoU by threshold beside the calibration.

    Args:
        found: the counts.
        threshold: that the model uses.
        out_png: where to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.4, 3.8), dpi=110, layout='constrained')
    by_threshold, calibration = figure.subplots(1, 2)
    thresholds, iou = found.iou()
    best, best_iou = found.best()
    by_threshold.plot(thresholds, iou, color='#2471a3')
    by_threshold.axvline(threshold, color='0.5', linestyle=':', label=f'used: {threshold:g}')
    by_threshold.plot(
        [best], [best_iou], 'o', color='#1e8449', label=f'best: {best_iou:.2f} at {best:g}'
    )
    by_threshold.set(title='IoU of the foreground (%)', xlabel='threshold', ylim=(0, 105))
    by_threshold.legend(fontsize=8)
    confidence, share, pixels = found.calibration()
    shown = pixels > 0
    calibration.plot([0, 1], [0, 1], color='0.7', linestyle='--')
    calibration.plot(confidence[shown], share[shown], 'o-', color='#c0392b')
    calibration.set(
        title=f'calibration (expected error {100 * found.calibration_error():.2f} %)',
        xlabel='predicted probability',
        ylabel='share of foreground',
        xlim=(0, 1),
        ylim=(0, 1),
    )
    for axes in (by_threshold, calibration):
        axes.grid(alpha=0.25)
        axes.spines[['top', 'right']].set_visible(False)
    with whole_file(out_png) as partial:
        figure.savefig(partial, format='png')
