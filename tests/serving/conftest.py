"""A tiny SegFormer in a file that carries its config, and a server that has it."""

import numpy as np
import pytest
import torch
from generated_weights import build, segformer
from mmengine.config import Config
from real_server import SMALL, running

CLASSES = ('sky', 'road', 'tree', 'car')
PALETTE = [(128, 128, 128), (128, 64, 128), (128, 128, 0), (64, 0, 128)]


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory):
    """Random weights of which every class wins somewhere, with config, classes and colours."""
    torch.manual_seed(0)
    config = segformer(num_classes=len(CLASSES))
    model = build(config)
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    torch.nn.init.zeros_(model.decode_head.conv_seg.bias)
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    text = Config(dict(model=config, test_pipeline=pipeline)).pretty_text
    path = tmp_path_factory.mktemp('weights') / 'tiny.pth'
    meta = dict(cfg=text, dataset_meta=dict(classes=CLASSES, palette=PALETTE))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path


@pytest.fixture(scope='session')
def inferencer(checkpoint):
    from mmseg_custom.inference.inferencer import Inferencer

    return Inferencer(checkpoint, device='cpu', batch_size=4)


@pytest.fixture(scope='session')
def picture():
    """RGB uint8 (61, 90, 3): blocks of random colours."""
    blocks = np.random.default_rng(0).integers(0, 256, (7, 10, 3), dtype=np.uint8)
    return blocks.repeat(9, 0).repeat(9, 1)[:61]


@pytest.fixture(scope='session')
def client(inferencer):
    """A server with the limits of these tests: 1 MB, 20,000 pixels, short times."""
    from mmseg_custom.serving.app import create_app

    with running(create_app({'tiny': inferencer}, SMALL, page=False), SMALL) as client:
        yield client
        assert client.request('GET', '/healthz').json == {'status': 'ok'}
