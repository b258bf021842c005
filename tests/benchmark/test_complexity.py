import pytest
import torch
from torch import nn

from mmseg_custom.benchmark.complexity import build_model, count_parts, format_parts, time_stages
from mmseg_custom.benchmark.counting import count_cost
from mmseg_custom.engine.config import load_config

SEGMENTER = 'segmenter/segmenter_vit-t_mask_8xb1-160k_ade20k-512x512.py'


@pytest.fixture(scope='module')
def model() -> nn.Module:
    return build_model(load_config(SEGMENTER))


def test_parts_add_up_to_a_forward_pass(model):
    backbone, head, both = count_parts(model, (64, 96))
    image = torch.zeros(1, 3, 64, 96)

    def forward():
        with torch.no_grad():
            model(image, mode='tensor')

    assert both.gflops * 1e9 == pytest.approx(count_cost(forward).flops)
    assert backbone.gflops + head.gflops == both.gflops
    assert both.parameters == sum(p.numel() for p in model.parameters())
    tokens, width, layers = 4 * 6 + 1, 192, 12
    assert backbone.attention_gflops * 1e9 == layers * 2 * 2 * tokens**2 * width


def test_stages_are_timed_and_shown(model):
    timed = time_stages(model, (64, 64), rounds=2)
    names = ['preprocess', 'backbone', 'decode_head', 'class map', 'whole']
    assert [part.name for part in timed] == names
    assert all(part.latency_ms > 0 for part in timed)
    text = format_parts(count_parts(model, (64, 64)), timed)
    assert [line.split()[0] for line in text.splitlines() if line][1:4] == [
        *('backbone', 'decode_head', 'both')
    ]
