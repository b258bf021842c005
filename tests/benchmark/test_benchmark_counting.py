"""FLOPs, bytes and peak memory of steps whose cost is known."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

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


@pytest.mark.parametrize('name', ['segmenter_vit-t_mask', 'segmenter_vit-t_linear'])
def test_our_attention_counts_as_much_as_the_stock_matrix_products(name):
    image, flops = torch.randn(1, 3, 64, 96), {}
    for scope in ('mmseg_custom', 'mmseg'):
        model = build(model_config(name, (64, 96)), scope).eval()
        with torch.no_grad():
            flops[scope] = count_cost(lambda model=model: model(image, mode='tensor')).flops
    assert flops['mmseg_custom'] == flops['mmseg']


def test_mit_counts_as_much_as_the_stock_backbone():
    image, flops = torch.randn(1, 3, 64, 96), {}
    for scope in ('mmseg_custom', 'mmseg'):
        model = build(model_config('segformer_b0'), scope).eval()
        with torch.no_grad():
            flops[scope] = count_cost(lambda model=model: model.backbone(image)).flops
    assert flops['mmseg_custom'] == flops['mmseg']


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
