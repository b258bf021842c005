"""Whether an exported file predicts what the model predicts, as numbers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from mmseg_custom.evaluation.confusion import class_scores, count_confusion
from mmseg_custom.inference.inferencer import Inferencer

MAX_DIFFERENCE = 1e-3
LABEL_AGREEMENT = 0.999
IGNORE_INDEX = 255
# From a picture, RGB uint8 (H, W, 3), to probabilities, float32 (K, H, W), K >= 2.
Predict = Callable[[np.ndarray], np.ndarray]


class ParityError(ValueError):
    """An exported file predicts something else than the model."""


@dataclass(frozen=True)
class ParityReport:
    """How far the predictions of an exported file are from those of the model.

    Attributes:
        num_pictures: how many were predicted by both.
        max_difference: largest absolute difference of two probabilities, 0..1.
        mean_difference: mean absolute difference of all probabilities, 0..1.
        label_agreement: share of the pixels whose class is the same, 0..1.
        reference_miou: mean IoU of the model in percent; None without ground truth.
        candidate_miou: the same of the file.
    """

    num_pictures: int
    max_difference: float
    mean_difference: float
    label_agreement: float
    reference_miou: float | None = None
    candidate_miou: float | None = None

    @property
    def miou_difference(self) -> float | None:
        """mIoU of the file minus that of the model, in points; None without ground truth."""
        if self.reference_miou is None or self.candidate_miou is None:
            return None
        return self.candidate_miou - self.reference_miou

    def check(
        self, max_difference: float = MAX_DIFFERENCE, agreement: float = LABEL_AGREEMENT
    ) -> None:
        """Refuse a file that predicts something else.

        Args:
            max_difference: allowed for any probability.
            agreement: share of the pixels that must have the same class.

        Raises:
            ParityError: it does; numbers that are not finite do not pass either.
        """
        wrong = []
        if not self.max_difference <= max_difference:
            wrong.append(
                f'probabilities differ by up to {self.max_difference:.2e} (allowed '
                f'{max_difference:g})'
            )
        if not self.label_agreement >= agreement:
            wrong.append(
                f'{100 * self.label_agreement:.3f} % of the pixels have the same class (wanted '
                f'{100 * agreement:g} %)'
            )
        if wrong:
            raise ParityError(f'the file does not predict what the model does: {"; ".join(wrong)}')

    def __str__(self) -> str:
        """The report in a few lines."""
        lines = [
            f'parity on {self.num_pictures} pictures',
            f'  probabilities  max difference {self.max_difference:.2e}, mean '
            f'{self.mean_difference:.2e}',
            f'  labels         {100 * self.label_agreement:.4f} % of the pixels agree',
        ]
        if self.miou_difference is not None:
            lines.append(
                f'  mIoU           {self.reference_miou:.2f} -> {self.candidate_miou:.2f} '
                f'({self.miou_difference:+.3f})'
            )
        return '\n'.join(lines)


def probabilities_of(inferencer: Inferencer) -> Predict:
    """The probabilities that an inferencer with ``probs`` gives a picture."""
    return lambda picture: inferencer(picture).probs


def compare(
    reference: Predict,
    candidate: Predict,
    pictures: Iterable[np.ndarray | tuple[np.ndarray, np.ndarray]],
    threshold: float | None = None,
) -> ParityReport:
    """Predict pictures with a model and an exported file of it.

    Args:
        reference: the model.
        candidate: the file.
        pictures: RGB uint8 (H, W, 3), or pairs of one and its ground truth, integers (H, W) with
            255 where there is none; all of them pairs or none. They are held one at a time.
        threshold: of two classes, the probability above which a pixel is of class 1; None takes the
            most probable class.

    Raises:
        ValueError: there is no picture, or the sizes of two predictions differ.
    """
    sums = _Sums()
    for one in pictures:
        picture, truth = one if isinstance(one, tuple) else (one, None)
        sums.add(reference(picture), candidate(picture), truth, threshold)
    return sums.report()


class _Sums:
    """What is added up over pictures."""

    def __init__(self) -> None:
        self.num_pictures = self.num_values = self.num_pixels = self.num_equal = 0
        self.total = self.largest = 0.0
        self.confusions: list[torch.Tensor] | None = None

    def add(
        self,
        reference: np.ndarray,
        candidate: np.ndarray,
        truth: np.ndarray | None,
        threshold: float | None,
    ) -> None:
        if reference.shape != candidate.shape:
            raise ValueError(
                f'the model predicts {reference.shape} (K, H, W) and the file {candidate.shape} of '
                'the same picture; export the file from this model'
            )
        difference = np.abs(reference.astype(np.float32) - candidate.astype(np.float32))
        labels = [_labels(probs, threshold) for probs in (reference, candidate)]
        self.num_pictures += 1
        # Not max(), which may leave NaN out.
        self.largest = float(np.maximum(self.largest, difference.max()))
        self.total += float(difference.sum(dtype=np.float64))
        self.num_values += difference.size
        self.num_equal += int((labels[0] == labels[1]).sum())
        self.num_pixels += labels[0].size
        if truth is not None:
            truth = torch.from_numpy(truth.astype(np.int64))
            counts = [
                count_confusion(torch.from_numpy(one), truth, len(reference), IGNORE_INDEX)
                for one in labels
            ]
            before = self.confusions or [torch.zeros_like(one) for one in counts]
            self.confusions = [sum(pair) for pair in zip(before, counts)]

    def report(self) -> ParityReport:
        if not self.num_pictures:
            raise ValueError('no picture to compare predictions of; name at least one')
        return ParityReport(
            self.num_pictures,
            self.largest,
            self.total / self.num_values,
            self.num_equal / self.num_pixels,
            *[_miou(confusion) for confusion in self.confusions or ()],
        )


def _labels(probs: np.ndarray, threshold: float | None) -> np.ndarray:
    if threshold is not None and len(probs) == 2:
        return (probs[1] > threshold).astype(np.int64)
    return probs.argmax(axis=0)


def _miou(confusion: torch.Tensor) -> float:
    """In percent, of the classes that are labelled or predicted."""
    return 100 * class_scores(confusion, ['mIoU'])[1]['IoU'].nanmean().item()
