"""Whole segmentors beside stock mmseg's: logits, losses and every gradient, in each precision."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from parity import pair
from small_models import LINEAR, MASK, VIT

from mmseg_custom.models.decode_heads import segformer_head

NUM_CLASSES = 7
DROPS = dict(drop_path_rate=0.2)
SEGMENTER_VIT = dict(VIT, interpolate_mode='bicubic', **DROPS)
# As wide as in B0, where the two finest levels are narrower than the decoder.
SEGFORMER = dict(
    type='EncoderDecoder',
    backbone=dict(
        type='MixVisionTransformer',
        embed_dims=8,
        num_layers=[1, 1, 1, 1],
        num_heads=[1, 2, 5, 8],
        **DROPS,
    ),
    decode_head=dict(
        type='SegformerHead',
        in_channels=[8, 16, 40, 64],
        in_index=[0, 1, 2, 3],
        channels=48,
        dropout_ratio=0.3,
        num_classes=NUM_CLASSES,
        norm_cfg=dict(type='BN'),
        align_corners=False,
    ),
    test_cfg=dict(mode='whole'),
)
SEGMENTER_HEADS = {
    'mask': {**MASK, 'num_classes': NUM_CLASSES},
    'linear': {**LINEAR, 'num_classes': NUM_CLASSES, 'dropout_ratio': 0.3},
}
WHOLE = dict(mode='whole')
MODELS = {
    'segformer': SEGFORMER,
    **{
        name: dict(type='EncoderDecoder', backbone=SEGMENTER_VIT, decode_head=head, test_cfg=WHOLE)
        for name, head in SEGMENTER_HEADS.items()
    },
}
SIZES = [(512, 512), (97, 131), (480, 360)]


def step(model, size, dtype, autocast: bool = False):
    """Logits in eval mode; losses, gradients and statistics of a training step."""
    height, width = size
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64).to(dtype)
    labels = torch.randint(0, NUM_CLASSES, (2, 1, *size), generator=generator)
    labels[:, :, : height // 8, : width // 8] = 255
    meta = dict(img_shape=size, ori_shape=size, pad_shape=size)
    samples = [SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=label)) for label in labels]
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        with torch.no_grad():
            logits = model.eval()(images, mode='tensor')
        torch.manual_seed(1)  # the same dropout and stochastic depth
        losses = model.train().loss(images, samples)
    loss = sum(value for name, value in losses.items() if 'loss' in name)
    model.zero_grad()
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    buffers = {name: b for name, b in model.named_buffers() if 'running' in name}
    return logits, loss.detach(), gradients, buffers


def assert_same(ours, stock, tolerance):
    logits, loss, gradients, buffers = ours
    want_logits, want_loss, want_gradients, want_buffers = stock
    assert (logits - want_logits).abs().max() <= tolerance * want_logits.abs().max()
    assert abs(loss - want_loss) <= tolerance * want_loss
    assert gradients.keys() == want_gradients.keys()
    largest = max(gradient.norm() for gradient in want_gradients.values())
    for name, want in want_gradients.items():
        assert (gradients[name] - want).norm() <= tolerance * largest, name
    for name, want in want_buffers.items():
        assert (buffers[name] - want).norm() <= tolerance * want.norm(), name


@pytest.mark.parametrize('size', SIZES, ids=lambda size: f'{size[0]}x{size[1]}')
@pytest.mark.parametrize('name', MODELS)
@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [(torch.float64, 1e-9), (torch.float32, 1e-4)], ids=['f64', 'f32']
)
def test_numbers_of_the_stock_model(name, size, dtype, tolerance):
    ours, stock = pair(MODELS[name], dtype)
    assert_same(step(ours, size, dtype), step(stock, size, dtype), tolerance)


@pytest.mark.parametrize('name', MODELS)
def test_training_in_bfloat16_is_as_far_from_single_precision_as_the_stock_model(name):
    size = (97, 131)
    ours, stock = pair(MODELS[name], torch.float32)
    exact = step(stock, size, torch.float32)
    stock.load_state_dict(ours.state_dict())
    results = [step(model, size, torch.float32, autocast=True) for model in (ours, stock)]
    errors = []
    for logits, loss, gradients, _ in results:
        errors.append(
            [
                (logits.float() - exact[0]).norm() / exact[0].norm(),
                abs(loss - exact[1]) / exact[1],
                torch.stack([(g - exact[2][n]).norm() for n, g in gradients.items()]).norm()
                / torch.stack([g.norm() for g in exact[2].values()]).norm(),
            ]
        )
    for mine, theirs, floor in zip(*errors, (0.02, 0.01, 0.05), strict=True):
        assert mine <= max(1.5 * theirs, floor)


def test_a_level_of_which_a_direction_hardly_varies(monkeypatch):
    """Products cancel where a decoder's row lies in a direction in which its input is constant."""
    torch.manual_seed(0)
    ours, stock = pair(SEGFORMER['decode_head'], torch.float32)
    folded = []
    original = segformer_head.fold_batch_statistics
    monkeypatch.setattr(
        segformer_head,
        'fold_batch_statistics',
        lambda *args: folded.append(1) or original(*args),
    )
    with torch.no_grad():
        for head in (ours, stock):
            weight = head.convs[0].conv.weight
            weight.sub_(weight.mean(1, keepdim=True))  # blind to what all channels share
    common = 1000 * torch.randn(2, 1, 24, 24)
    maps = [torch.randn(2, c, 24 // s, 24 // s) for c, s in ((8, 1), (16, 2), (40, 4), (64, 8))]
    maps[0] = maps[0] + common
    exact = [m.double() for m in maps]
    torch.manual_seed(3)
    want = stock.double().train()(exact)
    state = {name: value.float() for name, value in stock.state_dict().items()}
    torch.manual_seed(3)
    got = ours.train()(maps)
    assert folded
    assert (got - want).norm() <= 1e-4 * want.norm()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value.float(), state[name], rtol=1e-3, atol=1e-3, msg=name)
