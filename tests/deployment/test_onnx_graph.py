"""Resizing, windows and class maps inside a file, against those of OpenCV and ``EncoderDecoder``.

The inferencer takes the network's own output from a file without preprocessing and does everything
else in PyTorch; a file with preprocessing does it all.
"""

import numpy as np
import pytest
import torch

from mmseg_custom.deployment.onnx_graph import Windows
from mmseg_custom.inference.inferencer import Inferencer

KEPT = dict(type='Resize', scale=(90, 40), keep_ratio=True)
STRETCHED = dict(type='Resize', scale=(77, 50), keep_ratio=False)
WINDOWS = Windows((24, 32), (20, 24))
SIZES = [(1, 1), (1, 7), (61, 90), (40, 60), (203, 127), (20, 30)]


def picture(size: tuple[int, int]) -> np.ndarray:
    """RGB uint8 (H, W, 3), of another mean in each channel."""
    noise = np.random.default_rng(sum(size)).integers(0, 200, (*size, 3))
    return (noise + np.array([55, 20, 0])).astype(np.uint8)


@pytest.mark.parametrize(
    'options',
    [
        dict(resize=KEPT),
        dict(resize=STRETCHED, threshold=0.3, takes_bgr=True),
        dict(resize=KEPT, windows=WINDOWS),
        dict(resize=STRETCHED, windows=WINDOWS, align_corners=True),
        dict(align_corners=True),
        dict(windows=WINDOWS, threshold=0.5),
    ],
    ids=str,
)
def test_the_whole_way_inside_the_file(write_onnx, options):
    outside = Inferencer(write_onnx('outside', **options), probs=True)
    inside = Inferencer(write_onnx('inside', preprocessing=True, **options), probs=True)
    for size in SIZES:
        wanted, found = outside(picture(size)), inside(picture(size))
        assert found.probs.shape == wanted.probs.shape == (len(outside.classes), *size)
        np.testing.assert_allclose(found.probs, wanted.probs, atol=2e-5)
        np.testing.assert_array_equal(found.labels, wanted.labels)
        np.testing.assert_allclose(found.confidence, wanted.confidence, atol=2e-5)
        assert len(np.unique(wanted.labels)) > 1 or size[0] == 1


@pytest.mark.parametrize('threshold', [None, 0.4])
@pytest.mark.parametrize('windows', [None, WINDOWS])
def test_outputs_at_the_size_of_the_input(write_onnx, windows, threshold):
    """Three images of a batch, each as the inferencer predicts it by itself."""
    inferencer = Inferencer(write_onnx(windows=windows, threshold=threshold), probs=True)
    model, pictures = inferencer.model, [picture((45, 70)) + np.uint8(n) for n in range(3)]
    images = model.data_preprocessor(
        {'inputs': [torch.from_numpy(one[..., ::-1].transpose(2, 0, 1).copy()) for one in pictures]}
    )['inputs'].numpy()
    labels, probs = model.run('labels', images), model.run('probabilities', images)
    for number, wanted in enumerate(inferencer(pictures)):
        np.testing.assert_array_equal(labels[number], wanted.labels)
        np.testing.assert_allclose(probs[number], wanted.probs, atol=2e-5)


def test_pictures_of_a_batch(write_onnx):
    inferencer = Inferencer(write_onnx(resize=KEPT, preprocessing=True))
    pictures = np.stack([picture((45, 70)), picture((45, 70)) // 2])
    labels = inferencer.model.run('labels', pictures)
    for one, wanted in zip(labels, inferencer([*pictures])):
        np.testing.assert_array_equal(one, wanted.labels)
