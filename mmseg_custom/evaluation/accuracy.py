"""How often the right class is among the first ones."""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmseg_custom.registry import METRICS


@METRICS.register_module()
class Accuracy(BaseMetric):
    """Top-k accuracy, exact on any number of processes.

    Counts are whole numbers; repetitions that a distributed sampler adds are left out, as mmengine
    does with a list that has one entry per picture.

    Args:
        topk: for each k the share of pictures whose class is among the k best; one that is larger
            than the number of classes is left out.
        collect_device: as in mmengine.
        prefix: put before the names of the metrics.

    Raises:
        ValueError: ``topk`` is empty or not positive.
    """

    def __init__(
        self, topk: Sequence[int] = (1, 5), collect_device: str = 'cpu', prefix: str | None = None
    ) -> None:
        super().__init__(collect_device, prefix)
        if not topk or min(topk) < 1:
            raise ValueError(f'topk={topk}; expected positive numbers, e.g. (1, 5)')
        self.topk = tuple(topk)

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Note at which place each picture's class came, and of how many.

        Args:
            data_batch: unused.
            data_samples: one dictionary per picture with ``gt_label`` and ``pred_score`` (K,).

        Raises:
            ValueError: a score is not finite, or the label is no class.
        """
        for sample in data_samples:
            scores, label = sample['pred_score'], int(sample['gt_label'])
            file = sample.get('img_path', '(no path)')
            if not bool(scores.isfinite().all()):
                raise ValueError(
                    f'the prediction of {file} is not finite (NaN or infinity); check the picture '
                    'and the weights (a run that diverged, fp16 overflow)'
                )
            if not 0 <= label < len(scores):
                raise ValueError(f'{file}: label {label}, but the model has {len(scores)} classes')
            self.results.append((rank_of(scores, label), len(scores)))

    def compute_metrics(self, results: list[tuple[int, int]]) -> dict[str, float]:
        """Return ``top<k>`` in percent, rounded to two digits.

        Args:
            results: place of the right class, counted from 0, and number of classes.

        Raises:
            ValueError: nothing was processed.
        """
        if not results:
            raise ValueError('no picture was evaluated; the data set or the loader is empty')
        num_classes = results[0][1]
        return {
            f'top{k}': round(100 * sum(rank < k for rank, _ in results) / len(results), 2)
            for k in self.topk
            if k <= num_classes
        }


def rank_of(scores: Tensor, label: int) -> int:
    """Count the classes before the label's, of equal ones those of a lower index, as argmax does.

    Args:
        scores: (K,).
        label: class index.
    """
    own = scores[label]
    equal_before = (scores == own) & (torch.arange(len(scores), device=scores.device) < label)
    return int((scores > own).sum() + equal_before.sum())
