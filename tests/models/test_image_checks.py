"""Tensors that are no batch of images, in front of both backbones."""

import pytest
import torch

from mmseg_custom.models.backbones import MixVisionTransformer, VisionTransformer

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
