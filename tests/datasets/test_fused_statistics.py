"""The fused training pipeline draws from the distribution of mmseg's, with numbers of its own."""

import cv2
import numpy as np
import pytest
from augmented import CHAIN, CROP, FLIP, PHOTOMETRIC, RESIZE, fused, one_by_one, run

NUMBER = 1000
# Above it two samples of one distribution are in one of 1000 comparisons (Kolmogorov, Smirnov).
BOUND = 1.95 * (2 / NUMBER) ** 0.5


def ramps(height: int = 64, width: int = 85) -> np.ndarray:
    """Brown, (height, width, 3): blue grows with the column, green with the row."""
    image = np.full((height, width, 3), 170, np.uint8)
    image[..., 0] = np.linspace(20, 80, width)
    image[..., 1] = np.linspace(90, 130, height)[:, None]
    return image


def mostly_one_class(height: int = 64, width: int = 85) -> np.ndarray:
    """Class 0 but for a corner of 1 and 2 and some pixels that are ignored."""
    labels = np.zeros((height, width), np.uint8)
    labels[height // 3 :, : width // 2] = 1
    labels[height // 2 :, : width // 4] = 2
    labels[:, -4:] = 255
    return labels


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """The largest between two cumulative distributions."""
    values = np.concatenate([first, second])
    shares = (
        np.searchsorted(np.sort(side), values, 'right') / len(side) for side in (first, second)
    )
    return float(np.abs(np.subtract(*shares)).max())


def drawn(steps: list, first_seed: int, measure) -> np.ndarray:
    """What ``measure`` says of each result, (measures, NUMBER)."""
    rows, image, labels = [], ramps(), mostly_one_class()
    for seed in range(first_seed, first_seed + NUMBER):
        loaded = dict(img=image, gt_seg_map=labels, seg_fields=['gt_seg_map'])
        rows.append(measure(run(steps, loaded, seed)[0]))
    return np.array(rows, dtype=float).T


def of_the_crop(results: dict) -> list[float]:
    """Scale, size, centre, orientation and classes, read from pixels where they show."""
    image, labels = results['img'], results['gt_seg_map']
    shares = np.bincount(labels.ravel(), minlength=256)[[0, 1, 2, 255]] / labels.size
    turned = float(image[0, -1, 0]) < image[0, 0, 0]
    return [results['scale_factor'][0], labels.size, *image.mean((0, 1))[:2], turned, *shares]


def of_the_colours(results: dict) -> list[float]:
    """The mean colour, its hue and saturation, and how far the pixels lie apart."""
    mean = results['img'].mean((0, 1), dtype=np.float32)
    hue, saturation, _ = cv2.cvtColor(mean[None, None] / 255, cv2.COLOR_BGR2HSV)[0, 0]
    # Brown is near to where the circle of hues begins.
    return [*mean, (hue + 180) % 360, saturation, results['img'][..., 1].std()]


@pytest.mark.parametrize(
    'steps, measure, others',
    [
        (
            CHAIN[:3],
            of_the_crop,
            [
                [{**RESIZE, 'ratio_range': (0.5, 1.7)}, CROP, FLIP],
                [RESIZE, {**CROP, 'cat_max_ratio': 1.0}, FLIP],
                [RESIZE, {**CROP, 'crop_size': (44, 52)}, FLIP],
                [RESIZE, CROP, {**FLIP, 'prob': 0.4}],
            ],
        ),
        (
            [RESIZE, CROP, PHOTOMETRIC],
            of_the_colours,
            [
                [RESIZE, CROP, {**PHOTOMETRIC, 'hue_delta': 9}],
                [RESIZE, CROP, {**PHOTOMETRIC, 'brightness_delta': 6}],
                [RESIZE, CROP, {**PHOTOMETRIC, 'contrast_range': (0.75, 1.5)}],
                [RESIZE, CROP, {**PHOTOMETRIC, 'saturation_range': (0.75, 1.5)}],
            ],
        ),
    ],
    ids=['crop', 'colours'],
)
def test_distributions_agree(steps, measure, others):
    """And the bound is one that other arguments, near to these, exceed."""
    stock = drawn(one_by_one(steps), 0, measure)
    ours = drawn(fused(steps), NUMBER, measure)
    distances = [distance(*pair) for pair in zip(stock, ours)]
    assert max(distances) < BOUND, distances
    for other in others:
        different = drawn(fused(other), 2 * NUMBER, measure)
        assert max(distance(*pair) for pair in zip(stock, different)) > BOUND, other
