"""Windows in batches give what mmseg's one-by-one loop gives."""

import re
import shlex

import numpy as np
import pytest
import torch
from allocations import LargestTensor
from mmengine.config import ConfigDict
from parity import pair
from small_models import MASK, VIT

from mmseg_custom.engine.config import apply_options, load_config
from mmseg_custom.models.segmentors.sliding_window import WindowAxis, WindowGrid

CONFIG = dict(type='EncoderDecoder', backbone=VIT, decode_head={**MASK, 'num_layers': 1})


def segmentors(align_corners=False, **test_cfg):
    head = {**CONFIG['decode_head'], 'align_corners': align_corners}
    config = {**CONFIG, 'decode_head': head, 'test_cfg': {'mode': 'slide', **test_cfg}}
    ours, stock = pair(config)
    stock.test_cfg = ConfigDict(stock.test_cfg)  # the stock class reads attributes
    return ours.eval(), stock.eval()


@pytest.mark.parametrize(
    ('size', 'window', 'stride', 'starts'),
    [
        (10, 4, 3, (0, 3, 6)),
        (11, 4, 3, (0, 3, 6, 7)),
        (4, 4, 3, (0,)),
        (3, 4, 3, (0,)),
        (5, 4, 4, (0, 1)),
        (2048, 512, 480, (0, 480, 960, 1440, 1536)),
    ],
)
def test_windows_along_an_axis(size, window, stride, starts):
    axis = WindowAxis.cover(size, window, stride)
    assert axis.starts == starts
    count = np.zeros(size, dtype=int)
    for start in starts:
        count[start : start + window] += 1
    assert axis.count().tolist() == count.tolist()
    assert count.min() > 0


def test_crops_are_cut_row_by_row_and_picture_by_picture():
    images = torch.arange(2 * 3 * 8 * 10.0).view(2, 3, 8, 10)
    grid = WindowGrid.cover((8, 10), (5, 6), (4, 4))
    batches = list(grid.crops(images, 3))
    assert [len(batch) for batch in batches] == [3, 3, 2]
    assert grid.corners() == [(0, 0), (0, 4), (3, 0), (3, 4)]
    crops = torch.cat(batches)
    for number, (top, left) in enumerate(grid.corners() * 2):
        want = images[number // 4, :, top : top + 5, left : left + 6]
        assert torch.equal(crops[number], want)


@pytest.mark.parametrize('window_batch_size', [1, 4, 100])
@pytest.mark.parametrize(
    ('crop_size', 'stride', 'size'),
    [
        ((64, 64), (43, 48), (97, 131)),
        ((48, 80), (48, 33), (96, 131)),
        ((64, 64), (40, 40), (50, 131)),
        ((128, 160), (100, 100), (97, 131)),
    ],
)
@torch.no_grad()
def test_numbers_of_the_stock_loop(crop_size, stride, size, window_batch_size):
    ours, stock = segmentors(
        crop_size=crop_size, stride=stride, window_batch_size=window_batch_size
    )
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    metas = [dict(img_shape=size, ori_shape=size) for _ in images]
    want = stock.inference(images, metas)
    assert (ours.inference(images, metas) - want).abs().max() <= 1e-9 * want.abs().max()
    for sample, logits in zip(ours.predict(images), want, strict=True):
        assert torch.equal(sample.pred_sem_seg.data[0], logits.argmax(0))


@torch.no_grad()
def test_align_corners():
    ours, stock = segmentors(align_corners=True, crop_size=(64, 64), stride=(43, 48))
    images = torch.randn(1, 3, 97, 131, dtype=torch.float64)
    metas = [dict(img_shape=(97, 131), ori_shape=(97, 131))]
    want = stock.inference(images, metas)
    assert (ours.inference(images, metas) - want).abs().max() <= 1e-9 * want.abs().max()


@torch.no_grad()
def test_memory_is_bounded():
    ours, _ = segmentors(crop_size=(128, 128), stride=(96, 96), window_batch_size=2)
    ours.float()
    seen = []
    ours.backbone.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    images = torch.randn(1, 3, 512, 640)
    with LargestTensor() as largest:
        ours.predict(images)
    assert max(seen) == 2
    assert sum(seen) == 5 * 7
    full_logits = 4 * 6 * 512 * 640
    assert largest.bytes <= max(8 * 512 * 640, 4 * 2**20) < full_logits


@pytest.mark.parametrize(
    ('test_cfg', 'message'),
    [
        (dict(mode='slide', crop_size=(64, 64)), 'crop_size and stride, got no stride'),
        (dict(mode='tile'), "'whole' or 'slide', got 'tile'"),
        (
            dict(mode='slide', crop_size=(64, 64), stride=(64, 70)),
            r'stride=\(64, 70\) and crop_size=\(64, 64\); set "model\.test_cfg\.stride=\(42,42\)"',
        ),
        (
            dict(mode='slide', crop_size=64, stride=(48, 48)),
            r'got 64; set "model\.test_cfg\.crop_size=\(64,64\)"',
        ),
        (
            dict(mode='slide', crop_size=(64, 64), stride=48),
            r'got 48; set "model\.test_cfg\.stride=\(48,48\)"',
        ),
        (
            dict(mode='slide', crop_size=(64, 64), stride=(0, 48)),
            r'got \(0, 48\); set "model\.test_cfg\.stride=\(42,42\)"',
        ),
        (
            dict(mode='slide', crop_size=(64, 64), stride=(64, 64), window_batch_size=0),
            'window_batch_size must be at least 1, got 0',
        ),
    ],
)
def test_settings_that_do_not_fit(test_cfg, message):
    ours, _ = segmentors()
    ours.test_cfg = test_cfg
    with pytest.raises(ValueError, match=message) as raised:
        ours.predict(torch.zeros(1, 3, 64, 96, dtype=torch.float64))
    options = shlex.split(re.split('; set (?:for example )?', str(raised.value))[-1])
    config = load_config('segformer/segformer_mit-b0_folder.py')
    config.model.test_cfg = test_cfg
    apply_options(config, options)
    ours.test_cfg = config.model.test_cfg
    ours.predict(torch.zeros(1, 3, 64, 96, dtype=torch.float64))
