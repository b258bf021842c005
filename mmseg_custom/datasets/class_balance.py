"""How often each class occurs in a data set, and weights that make up for it."""

import copy
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from mmseg_custom.labels import IGNORE_INDEX
from mmseg_custom.messages import did_you_mean
from mmseg_custom.registry import DATASETS, SCOPE
from mmseg_custom.wrapped import inner_configs


def labels_only(dataset: Mapping):
    """Build a data set whose samples hold label maps alone, ``gt_seg_map`` (H, W).

    They are what the training sees before augmentation, picture by picture: wrappers that draw or
    repeat samples are left out, those that map classes stay.

    Args:
        dataset: the config of a training data set, possibly inside wrappers.

    Raises:
        ValueError: its pipeline loads no annotations.
    """
    plain = _undrawn(copy.deepcopy({**dataset}))
    keep_steps(plain, 'LoadAnnotations')
    return DATASETS.build({'_scope_': SCOPE, **plain})


def _undrawn(dataset: dict) -> dict:
    """Take away the wrappers that draw or repeat samples."""
    if 'dataset' in dataset:
        return _undrawn(dataset['dataset'])
    if 'datasets' in dataset:
        members = [_undrawn(member) for member in dataset['datasets']]
        return {key: value for key, value in dataset.items() if key != 'repeats'} | {
            'datasets': members
        }
    return dataset


def keep_steps(dataset: dict, *endings: str) -> None:
    """Leave nothing of the pipelines but the first step whose name has each ending; in place.

    Raises:
        ValueError: a pipeline has no such step.
    """
    for member in inner_configs(dataset):
        kept = []
        for ending in endings:
            found = [step for step in member['pipeline'] if step['type'].endswith(ending)]
            if not found:
                raise ValueError(f'the pipeline of {member["type"]} has no {ending}; add one')
            kept.append(found[0])
        member['pipeline'] = kept


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


def sum_counts(counts: Iterable[np.ndarray], num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Add up the pixels of single maps.

    Args:
        counts: of each map, pixels of each class, (K,).
        num_classes: K.

    Returns:
        For each class its pixels, and the labelled pixels of the maps it occurs in; (K,) int64.
    """
    pixels, present = (np.zeros(num_classes, dtype=np.int64) for _ in range(2))
    for count in counts:
        pixels += count
        present += count.sum() * (count > 0)
    return pixels, present


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
    return WEIGHTINGS[method](*sum_counts(counts, counts.shape[1]))


def _seen(pixels: np.ndarray) -> np.ndarray:
    if not pixels.any():
        raise ValueError('no label map holds a class; check the labels of the training data')
    return pixels > 0


def _rounded(seen: np.ndarray, weights: np.ndarray) -> list[float]:
    """One per class, 1 for a class that does not occur."""
    found = np.ones(len(seen))
    found[seen] = weights
    return [round(float(weight), 4) for weight in found]
