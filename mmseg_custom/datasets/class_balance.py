"""How often each class occurs in a data set, and weights that make up for it."""

import copy
from collections.abc import Callable, Mapping

import numpy as np

from mmseg_custom.messages import did_you_mean
from mmseg_custom.registry import DATASETS, SCOPE

IGNORE_INDEX = 255


def labels_only(dataset: Mapping):
    """Build a data set whose samples hold label maps alone, ``gt_seg_map`` (H, W).

    They are what the training sees before augmentation, picture by picture: wrappers that draw or
    repeat samples are left out, those that map classes stay.

    Args:
        dataset: the config of a training data set, possibly inside wrappers.

    Raises:
        ValueError: its pipeline loads no annotations.
    """
    return DATASETS.build({'_scope_': SCOPE, **_without_augmentation(copy.deepcopy({**dataset}))})


def _without_augmentation(dataset: dict) -> dict:
    """Leave nothing of the pipelines but the loading of labels."""
    if 'dataset' in dataset:
        return _without_augmentation(dataset['dataset'])
    if 'datasets' in dataset:
        members = [_without_augmentation(member) for member in dataset['datasets']]
        return {**dataset, 'datasets': members, 'repeats': None}
    loading = [t for t in dataset['pipeline'] if str(t['type']).endswith('LoadAnnotations')]
    if not loading:
        raise ValueError(f'the pipeline of {dataset["type"]} has no LoadAnnotations; add one')
    return {**dataset, 'pipeline': loading[:1]}


def count_labels(labels: np.ndarray, num_classes: int, where: str = 'a label map') -> np.ndarray:
    """Count the pixels of each class.

    Args:
        labels: (H, W) integers 0..num_classes-1, or 255 for no class.
        num_classes: K.
        where: what holds the labels, for the message.

    Returns:
        (K,) int64.

    Raises:
        ValueError: there is another value.
    """
    counts = np.bincount(labels.reshape(-1), minlength=num_classes)
    wrong = [*(np.flatnonzero(counts[num_classes:]) + num_classes)]
    wrong = [value for value in wrong if value != IGNORE_INDEX]
    if wrong:
        raise ValueError(
            f'{where} holds {wrong[0]} in {counts[wrong[0]]} pixels, but the data set has '
            f'{num_classes} classes; check its labels and classes'
        )
    return counts[:num_classes]


def median_frequency_weights(pixels: np.ndarray, present: np.ndarray) -> list[float]:
    """Median of the classes' frequencies over each class's own; 1 for one that does not occur.

    Eigen and Fergus, https://arxiv.org/abs/1411.4734, section 6.3.2.

    Args:
        pixels: of each class, (K,).
        present: labelled pixels of the pictures that the class occurs in, (K,).

    Raises:
        ValueError: no class occurs.
    """
    seen = _seen(pixels)
    frequency = pixels[seen] / present[seen]
    return _rounded(seen, np.median(frequency) / frequency)


def inverse_sqrt_weights(pixels: np.ndarray, present: np.ndarray | None = None) -> list[float]:
    """One over the square root of each class's pixels, with mean 1 over the classes that occur."""
    seen = _seen(pixels)
    weights = pixels[seen] ** -0.5
    return _rounded(seen, weights / weights.mean())


def log_weights(pixels: np.ndarray, present: np.ndarray | None = None) -> list[float]:
    """``1 / ln(1.02 + share)`` of the pixels: ENet, https://arxiv.org/abs/1606.02147, 5.2."""
    seen = _seen(pixels)
    return _rounded(seen, 1 / np.log(1.02 + pixels[seen] / pixels.sum()))


# What class_weight of a loss may name; each takes pixels and present of median_frequency_weights.
WEIGHTINGS: dict[str, Callable[[np.ndarray, np.ndarray], list[float]]] = {
    'auto': median_frequency_weights,
    'median_frequency': median_frequency_weights,
    'inverse_sqrt': inverse_sqrt_weights,
    'log': log_weights,
}


def class_weights(counts: np.ndarray, method: str) -> list[float]:
    """Weigh the classes.

    Args:
        counts: (N, K), pixels of each class in each picture.
        method: one of :data:`WEIGHTINGS`.

    Raises:
        ValueError: the method is unknown, or no class occurs.
    """
    if method not in WEIGHTINGS:
        hint = did_you_mean(method, [*WEIGHTINGS]) or f'expected one of {", ".join(WEIGHTINGS)}'
        raise ValueError(f"weights by '{method}' are unknown; {hint}")
    present = ((counts > 0) * counts.sum(1, keepdims=True)).sum(0)
    return WEIGHTINGS[method](counts.sum(0), present)


def _seen(pixels: np.ndarray) -> np.ndarray:
    if not pixels.any():
        raise ValueError('no label map holds a class; check the labels of the training data')
    return pixels > 0


def _rounded(seen: np.ndarray, weights: np.ndarray) -> list[float]:
    """One per class, 1 for a class that does not occur."""
    found = np.ones(len(seen))
    found[seen] = weights
    return [round(float(weight), 4) for weight in found]
