"""Losses of one output channel against their formulas, and why mmseg's are not taken."""

import math

import pytest
import torch
from torch import tensor

from mmseg_custom.models.losses import BinaryCrossEntropyLoss, BinaryDiceLoss
from mmseg_custom.registry import MODELS

LOSSES = [BinaryCrossEntropyLoss(pos_weight=3.0, loss_weight=0.5), BinaryDiceLoss(smooth=2.0)]
both = pytest.mark.parametrize('loss', LOSSES, ids=lambda loss: type(loss).__name__)


def batch(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 1, 9, 7, generator=generator, dtype=dtype)
    labels = torch.randint(0, 2, (2, 9, 7), generator=generator)
    labels[0, :2] = 255
    return logits.requires_grad_(), labels


def pixel_by_pixel(loss, logits, labels) -> float:
    """The formulas, with a loop over pixels."""
    pairs = zip(logits.flatten().tolist(), labels.flatten().tolist())
    counted = [(1 / (1 + math.exp(-x)), y) for x, y in pairs if y != 255]
    if isinstance(loss, BinaryDiceLoss):
        overlap = sum(p for p, y in counted if y == 1)
        areas = sum(p + y for p, y in counted)
        return 1 - (2 * overlap + loss.smooth) / (areas + loss.smooth)
    each = [-loss.pos_weight * math.log(p) if y else -math.log(1 - p) for p, y in counted]
    return loss.loss_weight * sum(each) / len(each)


@both
def test_values(loss):
    logits, labels = batch()
    value = loss(logits, labels, ignore_index=255)
    assert value.item() == pytest.approx(pixel_by_pixel(loss, logits, labels), rel=1e-6)
    value.backward()
    ignored = labels[:, None] == 255
    assert (logits.grad[ignored] == 0).all() and (logits.grad[~ignored] != 0).all()
    assert torch.equal(logits.grad[~ignored] < 0, labels[:, None][~ignored] == 1)


@both
def test_every_pixel_counts_without_an_ignore_index(loss):
    logits, labels = batch()
    labels[labels == 255] = 1
    wanted = loss(logits, labels, ignore_index=255)
    torch.testing.assert_close(loss(logits, labels, ignore_index=None), wanted)


@both
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float32])
def test_half_precision_is_computed_in_single(loss, dtype):
    logits, labels = batch(dtype)
    value = loss(logits, labels, ignore_index=255)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(logits.float(), labels, ignore_index=255))


@both
def test_a_batch_without_a_labelled_pixel_has_a_finite_gradient(loss):
    logits, labels = batch()
    value = loss(logits, torch.full_like(labels, 255), ignore_index=255)
    value.backward()
    assert value.item() == 0 and (logits.grad == 0).all()


def test_dice_of_a_foreground_does_not_depend_on_its_area():
    """The same relative error costs the same, whether 1 or 50 percent of the pixels are thing."""
    values = []
    for area in (1000, 50_000):
        labels = torch.zeros(1, 1, 100_000, dtype=torch.long)
        labels[..., :area] = 1
        logits = torch.full((1, 1, 1, 100_000), -30.0)
        logits[..., : area // 2] = 30.0
        values.append([loss(logits, labels).item() for loss in (BinaryDiceLoss(), LOSSES[0])])
    (thin_dice, thin_entropy), (dice, entropy) = values
    assert thin_dice == pytest.approx(dice, abs=1e-3) == pytest.approx(1 / 3, abs=1e-3)
    assert entropy == pytest.approx(50 * thin_entropy)


def test_what_these_of_mmseg_make_of_a_single_channel():
    """Its Dice loss takes it for class 0; its Tversky loss for a softmax, so it is constant."""
    dice, tversky = (
        MODELS.build(dict(type=f'mmseg.{kind}')) for kind in ('DiceLoss', 'TverskyLoss')
    )
    labels = torch.ones(1, 4, 4, dtype=torch.long)
    labels[:, :1] = 0
    right = torch.where(labels[:, None] == 1, 20.0, -20.0)
    assert dice(right, labels) > dice(-right, labels)
    assert tversky(right, labels) == tversky(-right, labels)
    assert BinaryDiceLoss()(right, labels) < BinaryDiceLoss()(-right, labels)


def test_what_does_not_fit():
    with pytest.raises(ValueError, match=r'takes logits \(N, 1, H, W\), got .*; set task=binary'):
        BinaryDiceLoss()(torch.zeros(1, 2, 3, 3), tensor([[[0]]]))
    with pytest.raises(ValueError, match='pos_weight takes a positive number, got 0'):
        BinaryCrossEntropyLoss(pos_weight=0)
    with pytest.raises(ValueError, match='smooth takes a positive number of pixels, got -1'):
        BinaryDiceLoss(smooth=-1)
