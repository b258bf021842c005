"""Small trained-looking segmentors, with the config that prepares pictures."""

import torch
from mmengine.config import Config
from torch import nn

from mmseg_custom.benchmark.named_models import build, model_config

CLASSES = ('sky', 'road', 'tree', 'car')
PALETTE = [(128, 128, 128), (128, 64, 128), (128, 128, 0), (64, 0, 128)]
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]


def tiny_config(name: str = 'segformer_b0', out_channels: int | None = None) -> Config:
    """Config of a small model of a family; ``out_channels=1`` is a binary task."""
    model = model_config(name, (64, 64))
    num_classes = len(CLASSES) if out_channels is None else 2
    model.decode_head.update(num_classes=num_classes, out_channels=out_channels or num_classes)
    if out_channels == 1:
        model.decode_head.loss_decode = dict(type='BinaryCrossEntropyLoss')
    if name.startswith('segformer'):
        model.backbone.update(embed_dims=8, num_layers=[1] * 4, num_heads=[1, 2, 2, 2])
        model.decode_head.update(in_channels=[8, 16, 16, 16], channels=16)
    else:
        model.backbone.update(embed_dims=24, num_layers=2, num_heads=3)
        model.decode_head.update(in_channels=24, channels=24)
        if 'mask' in name:
            model.decode_head.update(embed_dims=24, num_heads=3)
    return Config(dict(default_scope='mmseg_custom', model=model, test_pipeline=PIPELINE))


def tiny_model(name: str = 'segformer_b0', out_channels: int | None = None) -> nn.Module:
    """A model of :func:`tiny_config` in which every class wins somewhere, ready to predict."""
    config = tiny_config(name, out_channels)
    torch.manual_seed(0)
    model = build(config.model)
    with torch.no_grad():
        for parameter in model.decode_head.parameters():
            parameter.mul_(1.5).add_(torch.randn_like(parameter) * 0.1)
    model.cfg = config
    count = config.model.decode_head.num_classes
    model.dataset_meta = dict(classes=CLASSES[:count], palette=PALETTE[:count])
    return model.eval()


def save_tiny(folder, name: str = 'segformer_b0') -> tuple[str, str]:
    """Write config and checkpoint of :func:`tiny_model`; their paths."""
    model = tiny_model(name)
    config, checkpoint = folder / f'{name}.py', folder / f'{name}.pth'
    config.write_text(model.cfg.pretty_text)
    meta = {'dataset_meta': model.dataset_meta}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, checkpoint)
    return str(config), str(checkpoint)
