"""The report on how far a file is from its model, on predictions written by hand."""

import numpy as np
import pytest

from mmseg_custom.deployment.parity import ParityError, ParityReport, compare

PICTURES = [np.full((2, 4, 3), value, np.uint8) for value in (0, 100)]
TRUTH = np.array([[0, 0, 1, 1], [0, 0, 255, 1]])


def model(picture):
    """Class 0 on the left half; as sure of it as the picture is bright."""
    left = np.broadcast_to(np.arange(4) < 2, (2, 4))
    sure = 0.6 + picture[..., 0] / 1000
    return np.where(left, [sure, 1 - sure], [1 - sure, sure]).astype(np.float32)


def moved(by, where=(slice(None), slice(None))):
    """The model with ``by`` moved from class 0 to class 1 in some pixels of dark pictures."""

    def predict(picture):
        probs = model(picture)
        if picture.max() == 0:
            probs[0][where] -= by
            probs[1][where] += by
        return probs

    return predict


def test_numbers_of_a_small_difference():
    report = compare(model, moved(0.05), PICTURES)
    assert report.num_pictures == 2
    assert report.max_difference == pytest.approx(0.05, abs=1e-6)
    assert report.mean_difference == pytest.approx(0.025, abs=1e-6)
    assert report.label_agreement == 1 and report.miou_difference is None
    report.check(max_difference=0.051)
    with pytest.raises(ParityError, match=r'differ by up to 5\.00e-02 \(allowed 0\.001\)$'):
        report.check()


def test_labels_and_miou_of_one_wrong_pixel():
    """One of 16 pixels turns from class 0, which is right, to class 1."""
    report = compare(model, moved(0.2, (0, 0)), [(one, TRUTH) for one in PICTURES])
    assert report.label_agreement == 15 / 16
    assert report.reference_miou == 100
    # Of 14 counted pixels 8 are of class 0, of which 7 are found; 6 of class 1 and 7 predicted.
    assert report.miou_difference == pytest.approx(100 * (7 / 8 + 6 / 7) / 2 - 100)
    with pytest.raises(ParityError, match=r'93\.750 % of the pixels .* \(wanted 99\.9 %\)$'):
        report.check(max_difference=1)
    assert '100.00 -> 86.61 (-13.393)' in str(report)


def test_a_threshold_of_its_own():
    wide = compare(model, moved(0.05), PICTURES, threshold=0.43)
    assert wide.label_agreement == 12 / 16


def test_what_cannot_be_compared():
    with pytest.raises(ValueError, match='no picture'):
        compare(model, model, [])
    with pytest.raises(ValueError, match=r'\(2, 2, 4\) \(K, H, W\) and the file \(1, 2, 4\)'):
        compare(model, lambda picture: model(picture)[:1], PICTURES)


def test_not_a_number_does_not_pass():
    report = compare(model, lambda picture: model(picture) * np.nan, PICTURES)
    with pytest.raises(ParityError, match='differ by up to nan'):
        report.check()
    with pytest.raises(ParityError):
        ParityReport(1, 0.0, 0.0, float('nan')).check()
