"""Counting a confusion matrix, and the scores that follow from one."""

import torch
from torch import Tensor

# Which scores each choice of ``iou_metrics`` gives, as in mmseg.
SCORES = {
    'mIoU': ('IoU', 'Acc'),
    'mDice': ('Dice', 'Acc'),
    'mFscore': ('Fscore', 'Precision', 'Recall'),
}


def count_confusion(
    prediction: Tensor, label: Tensor, num_classes: int, ignore_index: int | None
) -> Tensor:
    """Count the pixels of each pair of label and prediction.

    Args:
        prediction: (H, W), values 0..num_classes-1 of any dtype.
        label: (H, W), integers 0..num_classes-1 or ``ignore_index``, on the same device.
        num_classes: K.
        ignore_index: label of pixels that are not counted.

    Returns:
        (K, K) int64 on the same device: rows are labels, columns predictions.

    Raises:
        ValueError: the sizes differ, or a label or prediction is outside the classes.
    """
    if prediction.shape != label.shape:
        raise ValueError(
            f'the prediction has size {tuple(prediction.shape)}, the label {tuple(label.shape)}; '
            'resize the prediction to the label, or set the pipeline so that both keep their size'
        )
    prediction, label = prediction.long(), label.long()
    ignored = torch.zeros_like(label, dtype=torch.bool)
    if ignore_index is not None:
        ignored = label == ignore_index
    _check_range('label', label, ~ignored, num_classes)
    _check_range('prediction', prediction, None, num_classes)
    # Ignored pixels go to a row of their own: cheaper than selecting the others.
    cells = label.masked_fill(ignored, num_classes).mul_(num_classes).add_(prediction)
    size = num_classes * num_classes
    counts = torch.bincount(cells.flatten(), minlength=size + num_classes)
    return counts[:size].view(num_classes, num_classes)


def _check_range(name: str, values: Tensor, counted: Tensor | None, num_classes: int) -> None:
    if values.numel() == 0:
        return
    low, high = torch.aminmax(values)
    if low >= 0 and high < num_classes:
        return
    wrong = (values < 0) | (values >= num_classes)
    if counted is not None:
        wrong &= counted
    if wrong.any():
        found, pixels = values[wrong].unique(return_counts=True)
        listed = ', '.join(f'{v} ({n} pixels)' for v, n in zip(found.tolist()[:5], pixels.tolist()))
        more = f' and {len(found) - 5} more' if len(found) > 5 else ''
        raise ValueError(
            f'{name} outside the {num_classes} classes 0..{num_classes - 1}: {listed}{more}'
        )


def class_scores(
    matrix: Tensor, iou_metrics: list[str], beta: float = 1
) -> tuple[float, dict[str, Tensor]]:
    """Overall accuracy and scores of each class, 0..1.

    Args:
        matrix: (K, K) counts, rows are labels.
        iou_metrics: keys of :data:`SCORES`.
        beta: weight of recall in the F-score.

    Returns:
        The share of pixels that are right, and by name (K,) float64 scores; NaN where a class gives
        none: IoU, Dice and F-score of a class that is neither labelled nor predicted, accuracy and
        recall of one that is not labelled, precision of one that is not predicted. A class that is
        labelled and never found has an F-score of 0, as in scikit-learn (in mmseg NaN, which leaves
        it out of the mean).
    """
    matrix = matrix.double()
    hits, labelled, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    squared = beta**2
    scores = {
        'IoU': hits / (labelled + predicted - hits),
        'Acc': hits / labelled,
        'Dice': 2 * hits / (labelled + predicted),
        'Fscore': (1 + squared) * hits / (squared * labelled + predicted),
        'Precision': hits / predicted,
        'Recall': hits / labelled,
    }
    names = dict.fromkeys(name for metric in iou_metrics for name in SCORES[metric])
    return (hits.sum() / matrix.sum()).item(), {name: scores[name] for name in names}
