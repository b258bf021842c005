"""A foreground of 1 percent of the pixels: trained with ``task='binary'``, lost without it."""

import copy

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_custom.engine.task import fit_heads
from mmseg_custom.registry import MODELS

MASK = dict(
    type='SegmenterMaskTransformerHead',
    in_channels=48,
    channels=48,
    num_layers=2,
    num_heads=3,
    embed_dims=48,
    dropout_ratio=0.0,
    drop_path_rate=0.0,
)
LINEAR = dict(
    type='FCNHead',
    in_channels=48,
    channels=48,
    num_convs=0,
    concat_input=False,
    dropout_ratio=0.0,
)
VIT = dict(
    type='VisionTransformer',
    img_size=(32, 32),
    patch_size=4,
    embed_dims=48,
    num_layers=3,
    num_heads=3,
    final_norm=True,
    drop_path_rate=0.0,
)
SEGFORMER = dict(
    backbone=dict(
        type='MixVisionTransformer',
        embed_dims=16,
        num_layers=[1] * 4,
        num_heads=[1, 2, 4, 8],
        patch_sizes=[7, 3, 3, 3],
        sr_ratios=[8, 4, 2, 1],
        drop_path_rate=0.0,
    ),
    decode_head=dict(
        type='SegformerHead',
        in_channels=[16, 32, 64, 128],
        in_index=[0, 1, 2, 3],
        channels=32,
        dropout_ratio=0.0,
        norm_cfg=dict(type='BN'),
    ),
)
MODELS_OF = {
    'segformer': SEGFORMER,
    'mask': dict(backbone=VIT, decode_head=MASK),
    'linear': dict(backbone=VIT, decode_head=LINEAR),
}


def build(config: dict, binary: bool, scope: str = 'mmseg_custom'):
    config = copy.deepcopy(config)
    if binary:
        fit_heads(config)
    config['decode_head']['num_classes'] = 2
    torch.manual_seed(0)
    parts = {key: MODELS.build({**part, '_scope_': scope}) for key, part in config.items()}
    for part in parts.values():
        part.init_weights()
    return torch.nn.ModuleDict(parts)


def train(model, inputs, labels, iterations: int, batch_size: int = 8) -> None:
    """AdamW with the schedule of the scratch configs, the scale of masks ten times as fast."""
    named = list(model.named_parameters())
    scale = [p for name, p in named if 'mask_norm' in name]
    groups = [dict(params=[p for name, p in named if 'mask_norm' not in name])]
    groups += [dict(params=scale, lr=1e-2)] if scale else []
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: min(1, (i + 1) / 20) * (1 - i / iterations)
    )
    generator = torch.Generator().manual_seed(1)
    for _ in range(iterations):
        chosen = torch.randint(len(inputs), (batch_size,), generator=generator)
        samples = [SegDataSample(gt_sem_seg=PixelData(data=labels[i][None])) for i in chosen]
        features = encoded(model, inputs[chosen])
        losses = model['decode_head'].loss(features, samples, None)
        optimizer.zero_grad()
        sum(value for name, value in losses.items() if name.startswith('loss')).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def encoded(model, inputs):
    return model['backbone'](inputs) if 'backbone' in model else [inputs]


@torch.no_grad()
def foreground_iou(model, inputs, labels) -> float:
    model.eval()
    metas = [dict(img_shape=labels.shape[1:])]
    logits = model['decode_head'].predict(encoded(model, inputs), metas, None)
    one = logits.shape[1] == 1
    predicted = logits[:, 0].sigmoid() > 0.5 if one else logits.argmax(1) == 1
    thing = labels == 1
    return 100 * ((predicted & thing).sum() / (predicted | thing).sum()).item()


def features_with_a_thing(count: int, generator):
    """Maps of 10x10 in which one pixel of 100 differs, by three standard deviations in all."""
    features = torch.randn(count, 48, 10, 10, generator=generator)
    labels = torch.zeros(count, 100, dtype=torch.long)
    places = torch.randint(100, (count,), generator=generator)
    labels[torch.arange(count), places] = 1
    labels = labels.view(count, 10, 10)
    return features + labels[:, None] * torch.linspace(-1, 1, 48).view(1, 48, 1, 1) * 1.5, labels


@pytest.mark.parametrize(
    ('binary', 'scope', 'lowest', 'highest'),
    [(True, 'mmseg_custom', 80, 100), (False, 'mmseg_custom', 0, 0), (False, 'mmseg', 0, 0)],
)
def test_the_mask_decoder(binary, scope, lowest, highest):
    """On the same features, with the same steps: found, or not a pixel, as mmseg's does."""
    generator = torch.Generator().manual_seed(0)
    inputs, labels = features_with_a_thing(64, generator)
    model = build(dict(decode_head=MASK), binary, scope)
    train(model, inputs, labels, 60)
    iou = foreground_iou(model, *features_with_a_thing(200, generator))
    assert lowest <= iou <= highest


def pictures(count: int, size: int, generator):
    """Noise with bars of two by five pixels, one for each 32x32 pixels: 1 percent."""
    labels = torch.zeros(count, size, size, dtype=torch.long)
    for label in labels:
        for _ in range((size // 32) ** 2):
            row, column = torch.randint(size - 5, (2,), generator=generator).tolist()
            label[row : row + 2, column : column + 5] = 1
    images = 0.7 * torch.randn(count, 3, size, size, generator=generator)
    return images + labels[:, None] * torch.tensor([2.5, -1.5, 0.0]).view(1, 3, 1, 1), labels


ITERATIONS = {'segformer': 400, 'mask': 200, 'linear': 400}
WITHOUT = dict(
    Dice=dict(loss_decode=dict(type='BinaryCrossEntropyLoss')), prior=dict(foreground_prior=0.5)
)


@pytest.mark.slow
@pytest.mark.parametrize('without', [None, 'Dice', 'prior', 'task'])
@pytest.mark.parametrize('family', MODELS_OF)
def test_from_scratch(family, without):
    """Each family learns it with the task's settings; SegFormer with all of them only."""
    generator = torch.Generator().manual_seed(0)
    size = 64 if family == 'segformer' else 32
    inputs, labels = pictures(64, size, generator)
    config = copy.deepcopy(MODELS_OF[family])
    config['decode_head'].update(WITHOUT.get(without, {}))
    model = build(config, binary=without != 'task')
    train(model, inputs, labels, ITERATIONS[family])
    iou = foreground_iou(model, *pictures(32, size, generator))
    print(f'{family} without {without}: {iou:.1f}')
    if without is None:
        assert iou >= 20
    elif family == 'segformer' or (family, without) == ('mask', 'task'):
        assert iou < 5
