"""A tiny SegFormer with random weights, as config and checkpoint files."""

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from PIL import Image

from mmseg_custom.engine.config import load_config
from mmseg_custom.registry import MODELS, SCOPE, register_all

CLASSES = ('sky', 'road', 'tree', 'car')
NINETEEN = tuple(f'class {number}' for number in range(19))
PALETTE = [[128, 128, 128], [128, 64, 128], [128, 128, 0], [64, 0, 128]]

CONFIG = """
default_scope = 'mmseg_custom'
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        type='MixVisionTransformer',
        embed_dims=8,
        num_layers=[1, 1, 1, 1],
        num_heads=[1, 2, 2, 2],
        patch_sizes=[7, 3, 3, 3],
        sr_ratios=[8, 4, 2, 1],
        init_cfg=dict(type='Pretrained', checkpoint='not_here.pth'),
    ),
    decode_head=dict(
        type='SegformerHead',
        in_channels=[8, 16, 16, 16],
        in_index=[0, 1, 2, 3],
        channels=16,
        num_classes=None,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
test_dataloader = dict(
    dataset=dict(
        type='BaseSegDataset', data_root='not/here', img_suffix='.png', pipeline=test_pipeline
    )
)
"""


@pytest.fixture(scope='session')
def config_path(tmp_path_factory):
    path = tmp_path_factory.mktemp('configs') / 'tiny.py'
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope='session')
def checkpoint_path(tmp_path_factory, config_path):
    path = tmp_path_factory.mktemp('weights') / 'tiny.pth'
    return save_checkpoint(path, config_path, CLASSES, PALETTE)


@pytest.fixture(scope='session')
def checkpoint_of_19_path(tmp_path_factory, config_path):
    path = tmp_path_factory.mktemp('weights') / 'tiny_of_19.pth'
    return save_checkpoint(path, config_path, NINETEEN, [[i, 2 * i, 3 * i] for i in range(19)])


def save_checkpoint(path, config_path, classes, palette):
    register_all()
    config = load_config(str(config_path))
    config.model.decode_head.num_classes = len(classes)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(SCOPE):
        model = MODELS.build(config.model)
    # Large weights without bias: every class wins somewhere.
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    torch.nn.init.zeros_(model.decode_head.conv_seg.bias)
    meta = {'dataset_meta': {'classes': classes, 'palette': palette}}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, path)
    return path


@pytest.fixture(scope='session')
def picture():
    """RGB uint8 (61, 90, 3): blocks of random colours, of another mean in each channel."""
    blocks = np.random.default_rng(0).integers(0, 200, (7, 10, 3)) + np.array([55, 20, 0])
    return blocks.astype(np.uint8).repeat(9, 0).repeat(9, 1)[:61]


@pytest.fixture
def picture_path(tmp_path, picture):
    path = tmp_path / 'pictures' / 'blocks.png'
    path.parent.mkdir()
    Image.fromarray(picture).save(path)
    return path


@pytest.fixture(scope='session')
def binary(tmp_path_factory, config_path, checkpoint_path):
    """Config and checkpoint with one output channel: whether it is road rather than tree."""
    checkpoint = torch.load(checkpoint_path, weights_only=True)
    for name in ('decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'):
        of_class = checkpoint['state_dict'][name]
        checkpoint['state_dict'][name] = of_class[1:2] - of_class[2:3]
    meta = dict(classes=('background', 'road'), palette=PALETTE[:2])
    path = tmp_path_factory.mktemp('binary') / 'binary.pth'
    torch.save({**checkpoint, 'meta': dict(dataset_meta=meta)}, path)
    config = load_config(str(config_path))
    config.model.decode_head.update(num_classes=2, out_channels=1, threshold=0.6)
    return config, path
