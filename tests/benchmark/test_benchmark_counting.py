"""FLOPs, bytes and peak memory of steps whose cost is known."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmseg_custom.benchmark import counting
from mmseg_custom.benchmark.counting import count_cost, peak_bytes, total_bytes
from mmseg_custom.benchmark.named_models import build, model_config

CPU = torch.device('cpu')


def test_linear_layer():
    layer, x = nn.Linear(8, 16), torch.randn(2, 5, 8)
    with torch.no_grad():
        cost = count_cost(lambda: layer(x))
    assert cost.flops == 2 * (2 * 5) * 8 * 16
    # Input, weight, bias and output are each read or written once; transposing costs nothing.
    assert cost.num_bytes == 4 * (2 * 5 * 8 + 8 * 16 + 16 + 2 * 5 * 16)


def test_depthwise_convolution():
    conv, x = nn.Conv2d(6, 6, 3, padding=1, groups=6), torch.randn(1, 6, 10, 12)
    with torch.no_grad():
        assert count_cost(lambda: conv(x)).flops == 2 * 9 * 6 * 10 * 12


def test_attention_forward_and_backward():
    query = torch.randn(2, 3, 40, 16, requires_grad=True)
    key, value = (torch.randn(2, 3, 10, 16, requires_grad=True) for _ in range(2))
    product = 2 * 2 * 3 * 40 * 10 * 16

    def forward():
        return F.scaled_dot_product_attention(query, key, value)

    with torch.no_grad():
        assert count_cost(forward).flops == 2 * product
    # Backward has four products and computes the weights, the first of two, once more.
    assert count_cost(lambda: forward().sum().backward()).flops == (2 + 5) * product


def flops_of(name, scope='mmseg_custom', size=(64, 96)):
    model, image = build(model_config(name, size), scope).eval(), torch.randn(1, 3, *size)
    with torch.no_grad():
        return count_cost(lambda: model(image, mode='tensor')).flops


def test_the_attention_of_our_models_is_counted(monkeypatch):
    names = ('segformer_b0', 'segmenter_vit-t_linear')
    whole = {name: flops_of(name) for name in names}
    monkeypatch.setattr(counting, '_attention_flops', lambda *shapes, **kwargs: 0)
    attention = {name: whole[name] - flops_of(name) for name in names}
    # Two products of tokens x keys x channels; MiT reduces its keys to a map of 2x3.
    tokens, channels = (16 * 24, 8 * 12, 4 * 6, 2 * 3), (32, 64, 160, 256)
    assert attention['segformer_b0'] == sum(
        2 * 2 * 2 * count * 6 * width for count, width in zip(tokens, channels)
    )
    assert attention['segmenter_vit-t_linear'] == 12 * 2 * 2 * 25 * 25 * 192


@pytest.mark.parametrize('name', ['segformer_b0', 'segmenter_vit-t_mask'])
def test_ours_needs_no_more_than_stock_and_nothing_is_missed(name):
    stock = flops_of(name, 'mmseg')
    # SegFormer's decoder is most of the model, and fuses before it resizes.
    assert (0.5 if 'segformer' in name else 0.95) * stock < flops_of(name) <= stock


def test_views_move_nothing_and_expanded_tensors_what_they_store():
    x, row = torch.randn(10, 10), torch.randn(10)
    cost = count_cost(lambda: x.view(100)[:50].t())
    assert cost.num_bytes == 0
    assert count_cost(lambda: row.expand(10, 10) + x).num_bytes == 4 * (10 + 100 + 100)


def test_peak_memory_of_known_allocations():
    existing = torch.zeros(1000)

    def step():
        first = torch.empty(300_000)
        second = torch.empty(200_000)
        del first
        third = torch.empty(100_000)
        existing.add_(1)
        return second, third

    assert peak_bytes(step, CPU) == 4 * 500_000
    assert peak_bytes(lambda: None, CPU) == 0


def test_peak_memory_sees_what_an_operator_allocates_inside():
    logits = torch.randn(4, 1000, requires_grad=True)
    labels = torch.zeros(4, dtype=torch.int64)
    used = peak_bytes(lambda: F.cross_entropy(logits, labels).backward(), CPU)
    assert used >= 2 * 4 * 4000


def test_shared_storage_counts_once():
    x = torch.zeros(100)
    assert total_bytes([x, x[:10], x.view(10, 10), torch.zeros(5)]) == 4 * 105
