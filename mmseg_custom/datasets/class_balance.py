"""How often each class occurs in a data set, and weights that make up for it.

Median frequency balancing: Eigen and Fergus, https://arxiv.org/abs/1411.4734, section 6.3.2.
"""

import copy
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from mmseg_custom.registry import DATASETS, SCOPE

IGNORE_INDEX = 255


def label_maps(dataset: dict) -> Iterator[np.ndarray]:
    """Yield the label map of each sample, (H, W), as the training sees it before augmentation.

    Args:
        dataset: the config of a training data set, possibly inside wrappers.

    Raises:
        ValueError: its pipeline loads no annotations.
    """
    dataset = copy.deepcopy(dataset)
    _keep_annotations(dataset)
    built = DATASETS.build({'_scope_': SCOPE, **dataset})
    for index in range(len(built)):
        yield built[index]['gt_seg_map']


def _keep_annotations(dataset: dict) -> None:
    """Leave nothing of the pipelines but the loading of labels; in place."""
    inner = dataset.get('datasets') or [dataset['dataset']] if 'pipeline' not in dataset else []
    for member in inner:
        _keep_annotations(member)
    if inner:
        return
    loading = [t for t in dataset['pipeline'] if t['type'].endswith('LoadAnnotations')]
    if not loading:
        raise ValueError(f'the pipeline of {dataset["type"]} has no LoadAnnotations; add one')
    dataset['pipeline'] = loading[:1]


def count_classes(maps: Iterator[np.ndarray], num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Count pixels.

    Args:
        maps: (H, W) integers 0..num_classes-1, or 255 for no class.
        num_classes: K.

    Returns:
        For each class its pixels, and the labelled pixels of the maps it occurs in; (K,) int64.

    Raises:
        ValueError: a map holds another value.
    """
    return sum_counts((_pixels_of(labels, num_classes) for labels in maps), num_classes)


def _pixels_of(labels: np.ndarray, num_classes: int) -> np.ndarray:
    counts = torch.bincount(torch.from_numpy(labels.astype(np.int64)).flatten()).numpy()
    wrong = np.flatnonzero(counts[num_classes:]) + num_classes
    if set(wrong.tolist()) - {IGNORE_INDEX}:
        raise ValueError(
            f'a label map holds {wrong[0]}, but the data set has {num_classes} classes; check '
            'its labels and classes'
        )
    return np.pad(counts[:num_classes], (0, max(0, num_classes - len(counts))))


def sum_counts(counts: Iterable[np.ndarray], num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Add up the pixels of single maps.

    Args:
        counts: of each map, pixels of each class, (K,).
        num_classes: K.

    Returns:
        As :func:`count_classes`.
    """
    pixels, present = (np.zeros(num_classes, dtype=np.int64) for _ in range(2))
    for count in counts:
        pixels += count
        present += count.sum() * (count > 0)
    return pixels, present


def median_frequency_weights(pixels: np.ndarray, present: np.ndarray) -> list[float]:
    """Median of the classes' frequencies over each class's own; 1 for one that does not occur.

    Args:
        pixels: of each class, (K,).
        present: labelled pixels of the pictures that the class occurs in, (K,).
    """
    seen = pixels > 0
    if not seen.any():
        raise ValueError('no label map holds a class; check the labels of the training data')
    frequency = pixels[seen] / present[seen]
    weights = np.ones(len(pixels))
    weights[seen] = np.median(frequency) / frequency
    return [round(float(weight), 4) for weight in weights]
