"""Photometric distortion on planes of 8 bits against HSV and mmseg's arithmetic."""

import cv2
import numpy as np
import pytest
from augmented import PHOTOMETRIC, one_by_one, picture

from mmseg_custom.datasets.transforms.photometric import (
    Distortion,
    distort,
    draw_distortion,
    scale_saturation,
    turn_hue,
)

# Every hue and grey, black and white, and both extremes of saturation.
NOISE = np.random.RandomState(0).randint(0, 256, (64, 96, 3), dtype=np.uint8)
NOISE[0, :4] = [[0, 0, 0], [255, 255, 255], [0, 0, 255], [77, 77, 77]]


def planes_of(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def in_hsv(image: np.ndarray, saturation: float = 1, hue: int = 0) -> np.ndarray:
    """In float32, where HSV rounds nothing."""
    hsv = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2HSV)
    hsv[..., 0] = (hsv[..., 0] + 2 * hue) % 360
    hsv[..., 1] = np.minimum(hsv[..., 1] * saturation, 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR) * 255


@pytest.mark.parametrize('image', [NOISE, picture()], ids=['noise', 'smooth'])
@pytest.mark.parametrize('factor', [0, 0.5, 0.83, 1, 1.21, 1.5, 3.0])
def test_saturation(image, factor):
    planes = planes_of(image).reshape(3, -1)
    scale_saturation(planes, factor)
    found = planes.reshape(3, *image.shape[:2]).transpose(1, 2, 0)
    assert np.abs(found - in_hsv(image, saturation=factor)).max() < 1.6


@pytest.mark.parametrize('image', [NOISE, picture()], ids=['noise', 'smooth'])
@pytest.mark.parametrize('steps', [-30, -18, -5, 1, 17, 30])
def test_hue(image, steps):
    planes = planes_of(image).reshape(3, -1)
    turn_hue(planes, steps)
    found = planes.reshape(3, *image.shape[:2]).transpose(1, 2, 0)
    assert np.abs(found - in_hsv(image, hue=steps)).max() < 1.1


def test_brightness_and_contrast_are_mmsegs_to_the_bit():
    """For 300 drawn values; some of the contrasts need the table."""
    [stock] = one_by_one([PHOTOMETRIC])
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    random = np.random.RandomState(0)
    for _ in range(300):
        beta, alpha, first = random.uniform(-40, 40), random.uniform(0.2, 3), random.randint(2)
        planes = planes_of(ramp)
        distort(planes, Distortion(beta, alpha, bool(first), None, None))
        expected = stock.convert(stock.convert(ramp, beta=beta), alpha=alpha)
        assert np.array_equal(planes.transpose(1, 2, 0), expected)


def test_the_numbers_are_drawn_in_mmsegs_order():
    """All that is drawn, read from what mmseg does to a picture of one colour."""
    [stock] = one_by_one([PHOTOMETRIC])
    seen = set()
    for seed in range(300):
        image = np.full((4, 4, 3), (60, 100, 140), np.uint8)
        np.random.seed(seed)
        expected = stock.transform({'img': image})['img']
        following = np.random.random_sample()
        np.random.seed(seed)
        drawn = draw_distortion(stock)
        assert np.random.random_sample() == following
        planes = planes_of(image)
        distort(planes, drawn)
        assert np.abs(planes.transpose(1, 2, 0).astype(int) - expected).max() <= 8
        seen.add((drawn.contrast_first, *(value is None for value in vars(drawn).values())))
    assert len(seen) == 32
