"""Pictures that do not fit preprocessor or backbone, and pictures of many channels that do."""

import pytest
import torch

from mmseg_custom.models.backbones import MixVisionTransformer, VisionTransformer
from mmseg_custom.models.data_preprocessor import SegDataPreProcessor

BACKBONES = {
    'MiT': dict(num_layers=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], embed_dims=8),
    'ViT': dict(num_layers=1, num_heads=1, embed_dims=8, img_size=64),
}
WRONG = {
    'no batch axis': (torch.zeros(3, 64, 64), r'\(3, 64, 64\); add the batch axis'),
    'empty batch': (torch.zeros(0, 3, 64, 64), r'\(0, 3, 64, 64\); pass at least one'),
    'other channels': (torch.zeros(1, 4, 64, 64), 'in_channels=3, got 4; set backbone.in_channels'),
    'bytes': (torch.zeros(1, 3, 64, 64).byte(), 'torch.uint8; send them through model.data_prepro'),
}


@pytest.mark.parametrize('wrong', WRONG)
@pytest.mark.parametrize('name', BACKBONES)
def test_what_is_no_batch_of_images(name, wrong):
    kind = {'MiT': MixVisionTransformer, 'ViT': VisionTransformer}[name]
    images, message = WRONG[wrong]
    with pytest.raises(ValueError, match=message):
        kind(**BACKBONES[name])(images)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(mean=[1, 2], std=[1]), '2 values in mean and 1 in std'),
        (dict(mean=[1, 2]), '2 values in mean and 0 in std'),
        (dict(mean=[1], std=[0]), r'std is \[0\]; expected numbers above 0'),
        (dict(mean=[1] * 4, std=[1] * 4, bgr_to_rgb=True), 'mean has 4; set .*bgr_to_rgb=False'),
    ],
)
def test_normalisations_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        SegDataPreProcessor(**arguments)


def test_many_channels_of_16_bits():
    """Each channel has its own mean and std; nothing is swapped, and 65535 is not -1."""
    mean, std = [100.0, 200.0, 300.0, 400.0, 500.0], [1.0, 2.0, 4.0, 8.0, 16.0]
    preprocessor = SegDataPreProcessor(mean=mean, std=std)
    image = torch.full((5, 2, 3), 65535, dtype=torch.uint16)
    inputs = preprocessor({'inputs': [image]})['inputs']
    expected = (65535 - torch.tensor(mean)) / torch.tensor(std)
    assert torch.equal(inputs, expected.view(1, 5, 1, 1).expand(1, 5, 2, 3))
    with pytest.raises(ValueError, match='a picture has 4 channels but .*mean has 5 values'):
        preprocessor({'inputs': [image[:4]]})
