"""Generated colours: always the same, and far apart."""

import cv2
import numpy as np
import pytest

from mmseg_custom.datasets.palette import distinct_palette


def names(count):
    return tuple(f'class{i}' for i in range(count))


@pytest.mark.parametrize(('count', 'least'), [(2, 120), (8, 60), (19, 38), (60, 18), (255, 7)])
def test_colours_differ_to_the_eye(count, least):
    palette = np.array(distinct_palette(names(count)), np.float32)
    assert palette.shape == (count, 3)
    lab = cv2.cvtColor(palette[None] / 255, cv2.COLOR_RGB2Lab)[0]
    distance = np.linalg.norm(lab[:, None] - lab, axis=-1) + 1e3 * np.eye(count)
    assert distance.min() >= least


def test_one_class_more_changes_no_colour():
    assert distinct_palette(names(30))[:29] == distinct_palette(names(29))


def test_background_is_black_and_the_rest_shift():
    palette = distinct_palette(('Background', *names(3)))
    assert palette == [[0, 0, 0], *distinct_palette(names(3))]
    assert all(type(channel) is int for colour in palette for channel in colour)
