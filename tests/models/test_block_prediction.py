"""Logits and class maps computed block by block equal mmseg's chain of full-size tensors."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from allocations import LargestTensor

from mmseg_custom.models.segmentors import axis_map, block_prediction
from mmseg_custom.models.segmentors.axis_map import AxisMap
from mmseg_custom.models.segmentors.block_prediction import LogitMap

# Logits' size, the network's input, padding (left, right, top, bottom), flip, original size.
CHAINS = {
    'same size': ((16, 16), (128, 128), (0, 0, 0, 0), None, (128, 128)),
    'padded, flipped, enlarged': ((13, 17), (97, 131), (0, 3, 0, 5), 'horizontal', (240, 180)),
    'padded on all sides, shrunk': ((24, 33), (192, 264), (1, 2, 3, 4), 'vertical', (97, 131)),
    'logits finer than the input': ((50, 40), (20, 30), (0, 0, 0, 0), None, (150, 111)),
    'one row': ((1, 5), (7, 40), (0, 0, 0, 0), None, (9, 300)),
    'full-size logits': ((97, 131), (97, 131), (0, 1, 0, 2), 'horizontal', (95, 130)),
}


def stock_chain(logits, size, padding, flip, original, align_corners):
    """What mmseg's predict_by_feat and postprocess_result do to logits of shape (K, h, w)."""
    x = F.interpolate(logits[None], size, mode='bilinear', align_corners=align_corners)
    left, right, top, bottom = padding
    x = x[..., top : size[0] - bottom, left : size[1] - right]
    if flip:
        x = x.flip(3 if flip == 'horizontal' else 2)
    return F.interpolate(x, original, mode='bilinear', align_corners=align_corners)[0]


def our_chain(logits, size, padding, flip, original, align_corners):
    picture = LogitMap.from_logits(logits, size, align_corners).crop(*padding)
    if flip:
        picture = picture.flip(flip)
    return picture.resize(original, align_corners)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('chain', CHAINS)
def test_logits_and_labels_in_float64(chain, align_corners, layout):
    size, *rest = CHAINS[chain]
    torch.manual_seed(0)
    logits = torch.randn(1, 21, *size, dtype=torch.float64).to(memory_format=layout)[0]
    want = stock_chain(logits, *rest, align_corners)
    picture = our_chain(logits, *rest, align_corners)
    assert picture.shape == want.shape
    assert (picture.logits() - want).abs().max() <= 1e-12 * want.abs().max()
    assert torch.equal(picture.labels(), want.argmax(0))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize('chain', CHAINS)
def test_labels_differ_only_at_ties(chain, dtype):
    size, *rest = CHAINS[chain]
    torch.manual_seed(1)
    logits = torch.randn(21, *size).to(dtype)
    picture = our_chain(logits, *rest, False)
    assert picture.logits().dtype == dtype
    exact = stock_chain(logits.float(), *rest, False)
    best, second = exact.topk(2, dim=0).values
    clear = best - second > 1e-5
    assert clear.float().mean() > 0.99
    assert torch.equal(picture.labels()[clear], exact.argmax(0)[clear])


def test_the_first_of_equal_classes_wins():
    logits = torch.randn(3, 1, 9, 11).repeat(1, 5, 1, 1).flatten(0, 1)
    want = stock_chain(logits, (70, 90), (0, 0, 0, 0), None, (70, 90), False).argmax(0)
    labels = LogitMap.from_logits(logits, (70, 90), False).labels()
    assert set(labels.unique().tolist()) <= {0, 5, 10}
    assert torch.equal(labels, want)


@pytest.mark.parametrize('elements', [1, 300, 5000])
def test_blocks_of_any_size(elements, monkeypatch):
    monkeypatch.setitem(block_prediction._BLOCK_ELEMENTS, 'cpu', elements)
    monkeypatch.setattr(block_prediction, '_BLOCK_COLUMNS_ON_CPU', 17)
    chain = CHAINS['padded, flipped, enlarged']
    logits = torch.randn(3, *chain[0], dtype=torch.float64)
    want = stock_chain(logits, *chain[1:], False)
    picture = our_chain(logits, *chain[1:], False)
    assert torch.allclose(picture.logits(), want, atol=1e-12)
    assert torch.equal(picture.labels(), want.argmax(0))


def test_reduced_matrix_precision_does_not_touch_the_result(monkeypatch):
    chain = CHAINS['padded, flipped, enlarged']
    logits = torch.randn(3, *chain[0])
    want = stock_chain(logits, *chain[1:], False)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('medium')
    try:
        assert not axis_map._may_multiply_matrices(logits)
        assert torch.allclose(our_chain(logits, *chain[1:], False).logits(), want, atol=1e-5)
    finally:
        torch.set_float32_matmul_precision(before)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.allclose(our_chain(logits, *chain[1:], False).logits(), want, atol=1e-5)


def test_gradients_flow_through_the_logits():
    chain = CHAINS['padded on all sides, shrunk']
    logits = torch.randn(3, *chain[0], dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, *chain[-1], dtype=torch.float64)
    want = torch.autograd.grad((stock_chain(logits, *chain[1:], False) * weight).sum(), logits)[0]
    ours = our_chain(logits, *chain[1:], False)
    grad = torch.autograd.grad((ours.logits() * weight).sum(), logits)[0]
    assert torch.allclose(grad, want, atol=1e-12)
    assert not ours.labels().requires_grad


@pytest.mark.parametrize(
    ('classes', 'size', 'original'),
    [
        (60, (96, 128), (768, 1024)),
        pytest.param(150, (750, 1000), (3000, 4000), marks=pytest.mark.slow),
    ],
)
def test_no_tensor_of_all_classes_at_full_size(classes, size, original):
    logits = torch.randn(classes, *size)
    with LargestTensor() as ours:
        labels = our_chain(logits, original, (0, 0, 0, 0), None, original, False).labels()
    limit = max(8 * labels.numel(), 4 * 2**21, 4 * logits.numel() // 4)
    assert ours.bytes <= limit
    assert limit < classes * labels.numel()
    if classes < 100:
        with LargestTensor() as stock:
            want = stock_chain(logits, original, (0, 0, 0, 0), None, original, False).argmax(0)
        assert stock.bytes == 4 * classes * labels.numel()
        assert (labels != want).float().mean() < 1e-5


def test_an_axis_map_is_what_its_chain_says():
    chain = AxisMap.resize(3, 6, False, torch.float64).select(slice(1, 5))
    chain = chain.select(slice(None, None, -1)).place(2, 8, np.array([1, 1, 1, 2, 2, 1, 1, 1]))
    operator = chain.operator(torch.zeros((), dtype=torch.float64))
    x = torch.tensor([10.0, 20.0, 40.0], dtype=torch.float64)
    want = [0, 0, 35 - 0, 25 / 2, 17.5 / 2, 12.5, 0, 0]
    assert operator.on_last_axis(x[None])[0].tolist() == pytest.approx(want)
    assert operator.on_first_axis(x[:, None])[:, 0].tolist() == pytest.approx(want)


def test_a_flip_that_does_not_exist():
    with pytest.raises(ValueError, match="'horizontal' or 'vertical', got 'diagonal'"):
        LogitMap.from_logits(torch.zeros(2, 3, 3), (3, 3), False).flip('diagonal')
