"""The models that the benchmark knows by name, and pairs of them with the same weights."""

import re
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from torch import nn

from mmseg_custom.datasets.palette import distinct_palette
from mmseg_custom.engine.config import load_config
from mmseg_custom.registry import MODELS, SCOPE, register_all

NUM_CLASSES = 150
# Channels per head and layers per stage (SegFormer, table 6).
MIT = {
    'b0': (32, [2, 2, 2, 2]),
    'b1': (64, [2, 2, 2, 2]),
    'b2': (64, [3, 4, 6, 3]),
    'b3': (64, [3, 4, 18, 3]),
    'b4': (64, [3, 8, 27, 3]),
    'b5': (64, [3, 6, 40, 3]),
}
# Channels, layers and heads (Segmenter, table 1).
VIT = {
    'vit-t': (192, 12, 3),
    'vit-s': (384, 12, 6),
    'vit-b': (768, 12, 12),
    'vit-l': (1024, 24, 16),
}
NAMES = (
    *(f'segformer_{size}' for size in MIT),
    *(f'segformer_mlp_{size}' for size in MIT),
    *(f'segmenter_{size}_{head}' for size in VIT for head in ('mask', 'linear')),
)
BATCH_NORM = dict(type='BN', requires_grad=True)
WINDOW = dict(mode='slide', crop_size=(512, 512), stride=(480, 480))


def model_config(name: str, size: tuple[int, int] = (512, 512), slide: bool = False) -> ConfigDict:
    """Return a segmentor's config.

    Args:
        name: one of ``NAMES``. ``segformer_b2`` has OpenMMLab's head of width 256,
            ``segformer_mlp_b2`` the official one of width 256 (B0, B1) or 768 (B2-B5) and, as in
            Hugging Face's model, an eps of 1e-5 in every norm and a loss averaged over the pixels
            that are not ignored.
        size: height and width of the images.
        slide: whether to predict in windows of 512x512, stride 480.

    Raises:
        ValueError: there is no such model.
    """
    if name not in NAMES:
        raise ValueError(f'unknown model {name!r}; expected one of {", ".join(NAMES)}')
    family, *_, last = name.split('_')
    model = _segformer(name, last) if family == 'segformer' else _segmenter(name, last, size, slide)
    model.data_preprocessor.size = size
    if slide:
        model.test_cfg = ConfigDict(WINDOW)
    return model


def _segformer(name: str, size: str) -> ConfigDict:
    model = load_config('_base_/models/segformer_mit-b0.py').model
    channels, layers = MIT[size]
    model.backbone.update(embed_dims=channels, num_layers=layers)
    model.decode_head.update(
        in_channels=[channels * heads for heads in model.backbone.num_heads],
        num_classes=NUM_CLASSES,
        norm_cfg=BATCH_NORM,
    )
    if '_mlp_' in name:
        model.backbone.norm_cfg = dict(type='LN', eps=1e-5)
        width = 256 if size in ('b0', 'b1') else 768
        model.decode_head.update(type='SegformerMLPHead', channels=width)
        model.decode_head.loss_decode.avg_non_ignore = True
    return model


def _segmenter(name: str, head: str, size: tuple[int, int], slide: bool) -> ConfigDict:
    channels, layers, heads = VIT[name.split('_')[1]]
    fragment = {'mask': 'segmenter_vit-t16_mask.py', 'linear': 'segmenter_vit-t16_fcn.py'}[head]
    model = load_config(f'_base_/models/{fragment}').model
    patch = model.backbone.patch_size
    image = WINDOW['crop_size'] if slide else size
    model.backbone.update(
        embed_dims=channels,
        num_layers=layers,
        num_heads=heads,
        img_size=tuple(-(-side // patch) * patch for side in image),
    )
    model.decode_head.update(in_channels=channels, channels=channels, num_classes=NUM_CLASSES)
    if head == 'mask':
        model.decode_head.update(embed_dims=channels, num_heads=heads)
    return model


def has_stock_class(name: str) -> bool:
    """Whether mmseg has this model; it does not have the official MLP head."""
    return not re.match('segformer_mlp_', name)


def build(config: ConfigDict, scope: str = SCOPE) -> nn.Module:
    """Build a segmentor of ours, or with ``scope='mmseg'`` of the stock classes."""
    register_all()
    return MODELS.build({**config, '_scope_': scope})


def randomise(model: nn.Module, seed: int = 0) -> None:
    """Give a model initial weights, and batch norm statistics that differ from a fresh one's."""
    torch.manual_seed(seed)
    with quiet_mmengine():
        model.init_weights()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)


def save_weights(model: nn.Module, path: Path) -> dict:
    """Write a checkpoint with names and colours of the classes, which are also returned."""
    classes = tuple(f'class {index}' for index in range(NUM_CLASSES))
    meta = dict(classes=classes, palette=distinct_palette(classes))
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=meta)), path)
    return meta


@contextmanager
def quiet_mmengine():
    """Keep mmengine from logging a line for each parameter."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')
    try:
        yield
    finally:
        logger.setLevel(level)
