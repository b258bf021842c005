import numpy as np
import pytest
from PIL import Image

from mmseg_custom.inference.labelled import Labelled
from mmseg_custom.inference.thresholds import count_thresholds, plot_thresholds


def labelled(probability, truth):
    probability = np.asarray(probability, np.float32)[None]
    probs = np.stack([1 - probability, probability])
    return Labelled('', np.asarray(truth, np.uint8)[None], (probability > 0.5).astype(int), probs)


def test_iou_of_each_threshold_is_counted_exactly():
    generator = np.random.default_rng(0)
    pictures = []
    for _ in range(3):
        truth = generator.choice([0, 1, 255], 500, p=[0.7, 0.2, 0.1])
        probability = np.clip(0.25 + 0.4 * (truth == 1) + generator.normal(0, 0.2, 500), 0, 1)
        pictures.append(labelled(probability, truth))
    found = count_thresholds(pictures)
    thresholds, iou = found.iou()
    truth = np.concatenate([one.truth[0] for one in pictures])
    probability = np.concatenate([one.probs[1, 0] for one in pictures]).astype(np.float64)
    valid = truth != 255
    for index in (0, 130, 500, 777, 999):
        chosen = (probability >= thresholds[index]) & valid
        hit = (chosen & (truth == 1)).sum()
        expected = 100 * hit / (chosen | (truth == 1)).sum()
        assert iou[index] == pytest.approx(expected, abs=1e-9)
    best, best_iou = found.best()
    assert best_iou == iou.max() > iou[0] and 0.2 < best < 0.8


def test_honest_probabilities_are_calibrated():
    generator = np.random.default_rng(0)
    probability = generator.random(200_000)
    truth = generator.random(200_000) < probability
    honest = count_thresholds([labelled(probability, truth)])
    assert honest.calibration_error() < 0.01
    boastful = count_thresholds([labelled(np.where(probability > 0.5, 0.99, 0.01), truth)])
    # Three quarters of what is said to be 99 % sure is right.
    assert boastful.calibration_error() == pytest.approx(0.24, abs=0.01)
    confidence, share, pixels = boastful.calibration()
    assert pixels.sum() == 200_000 and np.count_nonzero(pixels) == 2
    assert share[-1] == pytest.approx(0.75, abs=0.01)
    assert confidence[-1] == pytest.approx(0.99, abs=1e-6)


def test_the_picture_and_the_mistakes(tmp_path):
    found = count_thresholds([labelled([0.1, 0.9], [0, 1])])
    plot_thresholds(found, 0.5, tmp_path / 'new' / 'curves.png')
    picture = np.asarray(Image.open(tmp_path / 'new' / 'curves.png').convert('RGB')).astype(int)
    for colour in ((0x24, 0x71, 0xA3), (0xC0, 0x39, 0x2B)):
        assert (abs(picture - colour).max(-1) < 3).sum() > 50
    several = Labelled('', np.zeros((1, 2)), np.zeros((1, 2)), np.zeros((3, 1, 2)))
    with pytest.raises(ValueError, match='3 classes: a threshold is chosen for two'):
        count_thresholds([several])
    with pytest.raises(ValueError, match='no pixel is labelled'):
        count_thresholds([labelled([0.1, 0.9], [255, 255])])
