"""The network from pixels to logits, against the model's own way from a picture to its logits."""

import numpy as np
import pytest
import torch
from tiny_models import tiny_model

from mmseg_custom.deployment.picture_network import (
    PictureNetwork,
    at_size,
    describe,
    through_pipeline,
)

PICTURE = np.random.default_rng(0).integers(0, 256, (61, 90, 3)).astype(np.uint8)
PIXELS = torch.from_numpy(PICTURE).permute(2, 0, 1)[None].float()


@torch.inference_mode()
def own_logits(model):
    """Logits (C, H, W) of what the preprocessor makes of a picture as OpenCV reads it."""
    bgr = torch.from_numpy(PICTURE[..., ::-1].copy()).permute(2, 0, 1)
    return model.inference(model.data_preprocessor({'inputs': [bgr]})['inputs'], [None])[0]


@pytest.mark.parametrize('name', ['segformer_b0', 'segformer_mlp_b0', 'segmenter_vit-t_mask'])
@pytest.mark.parametrize('takes_bgr', [False, True])
def test_pixels_give_the_models_logits(name, takes_bgr):
    model = tiny_model(name)
    model.data_preprocessor.channel_conversion = not takes_bgr
    model.data_preprocessor.swaps_colours = not takes_bgr
    with torch.inference_mode():
        logits = PictureNetwork(model)(PIXELS)[0]
    wanted = own_logits(model)
    assert wanted.std() > 0.01
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4)


def test_one_output_channel_becomes_two_classes():
    model = tiny_model(out_channels=1)
    with torch.inference_mode():
        probabilities = PictureNetwork(model)(PIXELS)[0].softmax(0)
    torch.testing.assert_close(probabilities[1], own_logits(model)[0].sigmoid())
    assert describe(model)['threshold'] == model.decode_head.threshold
    assert describe(model)['classes'] == ['sky', 'road']


def test_pictures_of_any_size():
    model = tiny_model()
    network = torch.inference_mode()(PictureNetwork(model))
    wanted = own_logits(model).softmax(0).numpy()
    np.testing.assert_allclose(through_pipeline(model, network)(PICTURE), wanted, atol=1e-5)
    np.testing.assert_allclose(at_size((61, 90), network)(PICTURE), wanted, atol=1e-5)
    stretched = at_size((64, 96), network)(PICTURE)
    assert stretched.shape == wanted.shape and not np.allclose(stretched, wanted, atol=1e-3)


def test_what_is_refused():
    model = tiny_model()
    model.test_cfg = dict(mode='slide', crop_size=(32, 32), stride=(16, 16))
    with pytest.raises(
        ValueError, match=r"is 'slide'.*set --cfg-options model\.test_cfg\.mode=whole"
    ):
        PictureNetwork(model)
    model = tiny_model()
    model.data_preprocessor.mean = torch.zeros(5, 1, 1)
    with pytest.raises(ValueError, match='takes 5 bands; expected RGB'):
        PictureNetwork(model)
