"""Small checkpoints in each source's form, and our models that take them."""

import copy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mmengine.registry import DefaultScope
from reference_networks import NVlabsMiT, NVlabsSegFormer, RstrudelSegmenter, TimmViT
from torch import nn

from mmseg_custom.checkpoints.adapt import describe_model
from mmseg_custom.registry import MODELS, SCOPE, register_all

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def build(config: dict) -> nn.Module:
    """Build one of our models in evaluation mode."""
    register_all()
    with DefaultScope.overwrite_default_scope(SCOPE):
        return MODELS.build(copy.deepcopy(config)).eval()


def mit(**changes) -> dict:
    """Config of a small MiT with NVlabs' epsilons."""
    config = dict(
        type='MixVisionTransformer',
        embed_dims=8,
        num_layers=[1, 1, 1, 1],
        num_heads=[1, 2, 5, 8],
        patch_norm_cfg=dict(type='LN', eps=1e-5),
        sr_norm_cfg=dict(type='LN', eps=1e-5),
    )
    return {**config, **changes}


def segformer(num_classes: int = 5, head: dict | None = None, **backbone) -> dict:
    """Config of a small SegFormer with the MLP decoder."""
    decode_head = dict(
        type='SegformerMLPHead',
        in_channels=[8, 16, 40, 64],
        in_index=[0, 1, 2, 3],
        channels=12,
        num_classes=num_classes,
        norm_cfg=dict(type='BN'),
        align_corners=False,
    )
    preprocessor = dict(type='SegDataPreProcessor', mean=MEAN, std=STD, bgr_to_rgb=True)
    return dict(
        type='EncoderDecoder',
        data_preprocessor=preprocessor,
        backbone=mit(**backbone),
        decode_head={**decode_head, **(head or {})},
        test_cfg=dict(mode='whole'),
    )


def vit(**changes) -> dict:
    """Config of a small ViT."""
    config = dict(
        type='VisionTransformer',
        img_size=32,
        patch_size=8,
        patch_bias=True,
        embed_dims=24,
        num_layers=2,
        num_heads=3,
        final_norm=True,
        norm_cfg=dict(type='LN', eps=1e-6),
        interpolate_mode='bicubic',
    )
    return {**config, **changes}


def segmenter(decoder: str = 'mask', num_classes: int = 5, **backbone) -> dict:
    """Config of a small Segmenter with rstrudel's epsilons and normalisation."""
    shared = dict(in_channels=24, channels=24, num_classes=num_classes, dropout_ratio=0.0)
    heads = {
        'mask': dict(
            type='SegmenterMaskTransformerHead', num_layers=2, num_heads=3, embed_dims=24, **shared
        ),
        'linear': dict(type='FCNHead', num_convs=0, concat_input=False, **shared),
    }
    half = [127.5, 127.5, 127.5]
    return dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', mean=half, std=half, bgr_to_rgb=True),
        backbone=vit(**{'norm_cfg': dict(type='LN', eps=1e-5), **backbone}),
        decode_head=heads[decoder],
        test_cfg=dict(mode='whole'),
    )


def augreg_arrays(network: TimmViT) -> dict[str, np.ndarray]:
    """The parameters of a ViT in the names and shapes of google-research/vision_transformer."""
    width = network.cls_token.shape[2]
    heads = network.blocks[0].attn.heads
    arrays = {
        'cls': network.cls_token,
        'Transformer/posembed_input/pos_embedding': network.pos_embed,
        'embedding/kernel': network.patch_embed.proj.weight.permute(2, 3, 1, 0),
        'embedding/bias': network.patch_embed.proj.bias,
        'Transformer/encoder_norm/scale': network.norm.weight,
        'Transformer/encoder_norm/bias': network.norm.bias,
        'head/kernel': network.head.weight.T,
        'head/bias': network.head.bias,
    }
    for number, block in enumerate(network.blocks):
        prefix = f'Transformer/encoderblock_{number}'
        for name, norm in (('LayerNorm_0', block.norm1), ('LayerNorm_2', block.norm2)):
            arrays[f'{prefix}/{name}/scale'] = norm.weight
            arrays[f'{prefix}/{name}/bias'] = norm.bias
        for name, layer in (('Dense_0', block.mlp.fc1), ('Dense_1', block.mlp.fc2)):
            arrays[f'{prefix}/MlpBlock_3/{name}/kernel'] = layer.weight.T
            arrays[f'{prefix}/MlpBlock_3/{name}/bias'] = layer.bias
        attention = f'{prefix}/MultiHeadDotProductAttention_1'
        weights, biases = block.attn.qkv.weight.chunk(3), block.attn.qkv.bias.chunk(3)
        for name, weight, bias in zip(('query', 'key', 'value'), weights, biases, strict=True):
            arrays[f'{attention}/{name}/kernel'] = weight.T.reshape(width, heads, -1)
            arrays[f'{attention}/{name}/bias'] = bias.reshape(heads, -1)
        arrays[f'{attention}/out/kernel'] = block.attn.proj.weight.T.reshape(heads, -1, width)
        arrays[f'{attention}/out/bias'] = block.attn.proj.bias
    return {name: value.detach().numpy() for name, value in arrays.items()}


def write_rstrudel(folder: Path, network: RstrudelSegmenter, **changes) -> Path:
    """Write ``checkpoint.pth`` and ``variant.yml`` as rstrudel's training does; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder = network.encoder
    num_classes = network.decoder.state_dict()
    num_classes = num_classes.get('mask_norm.weight', num_classes.get('head.weight')).shape[0]
    side = encoder.patch_embed.proj.kernel_size[0]
    image = round((encoder.pos_embed.shape[1] - 1) ** 0.5) * side
    variant = {
        'version': 'normal',
        'net_kwargs': {
            'backbone': 'vit_tiny_patch16_384',
            'd_model': encoder.cls_token.shape[2],
            'n_layers': len(encoder.blocks),
            'n_heads': encoder.blocks[0].attn.heads,
            'patch_size': side,
            'image_size': (image, image),
            'n_cls': num_classes,
            'normalization': 'vit',
            'distilled': False,
            **changes,
        },
    }
    (folder / 'variant.yml').write_text(yaml.dump(variant))
    snapshot = {'model': network.state_dict(), 'n_cls': num_classes, 'epoch': 3}
    torch.save(
        {**snapshot, 'optimizer': {'state': {}, 'param_groups': []}}, folder / 'checkpoint.pth'
    )
    return folder / 'checkpoint.pth'


def write_huggingface(folder: Path, kind: str, num_classes: int) -> Path:
    """Write ``config.json`` and ``model.safetensors`` of a small SegFormer; the folder."""
    transformers = pytest.importorskip('transformers')
    config = transformers.SegformerConfig(
        hidden_sizes=[8, 16, 40, 64],
        depths=[1, 1, 1, 1],
        decoder_hidden_size=12,
        num_labels=num_classes,
    )
    getattr(transformers, f'SegformerFor{kind}')(config).save_pretrained(folder)
    return folder


def write_pickled_huggingface(folder: Path, num_classes: int) -> Path:
    """The same as releases before 5 wrote it: ``pytorch_model.bin``; the folder."""
    from safetensors.torch import load_file

    whole = write_huggingface(folder, 'SemanticSegmentation', num_classes) / 'model.safetensors'
    torch.save(load_file(whole), folder / 'pytorch_model.bin')
    whole.unlink()
    return folder


def write_augreg(path: Path) -> Path:
    """Write a small ViT as google-research/vision_transformer does; the path."""
    np.savez(path, **augreg_arrays(TimmViT()))
    return path


def save_ours(model: nn.Module, path: Path) -> Path:
    """Save a model with the description that a training here records; the path."""
    return save(model, path, meta={'mmseg_custom': describe_model(model).as_dict()})


def save(network: nn.Module, path: Path, **content) -> Path:
    """Save a network's parameters, alone or beside other content; its path."""
    weights = network.state_dict()
    torch.save({'state_dict': weights, **content} if content else weights, path)
    return path


def assert_close(logits: torch.Tensor, wanted: torch.Tensor, tolerance: float = 1e-4) -> None:
    """Compare logits relative to the largest, which must not be trivial."""
    assert logits.shape == wanted.shape
    assert wanted.std() > 1e-3
    assert (logits - wanted).abs().max() <= tolerance * wanted.abs().max()


CONV = dict(type='SegformerHead')
# Segmentors by their source: the config that takes one, and what writes one to a folder.
SEGMENTORS = {
    'OpenMMLab SegFormer': (
        partial(segformer, head=CONV),
        lambda folder, n: save(build(segformer(n, CONV)), folder / 'x.pth', meta={}),
    ),
    'OpenMMLab Segmenter': (
        partial(segmenter, 'mask'),
        lambda folder, n: save(build(segmenter('mask', n)), folder / 'x.pth', meta={}),
    ),
    'this project': (
        segformer,
        lambda folder, n: save_ours(build(segformer(n)), folder / 'x.pth'),
    ),
    'NVlabs': (
        segformer,
        lambda folder, n: save(NVlabsSegFormer(num_classes=n), folder / 'x.pth', meta={}),
    ),
    'Hugging Face': (
        segformer,
        lambda folder, n: write_huggingface(folder / 'x', 'SemanticSegmentation', n),
    ),
    'Hugging Face, pickled': (
        segformer,
        lambda folder, n: write_pickled_huggingface(folder / 'x', n),
    ),
    'rstrudel, mask': (
        partial(segmenter, 'mask'),
        lambda folder, n: write_rstrudel(folder / 'x', RstrudelSegmenter('mask', n)),
    ),
    'rstrudel, linear': (
        partial(segmenter, 'linear'),
        lambda folder, n: write_rstrudel(folder / 'x', RstrudelSegmenter('linear', n)),
    ),
}
# Encoders in the same way.
ENCODERS = {
    'OpenMMLab MiT': (segformer, lambda folder: save(build(mit()), folder / 'x.pth')),
    'OpenMMLab ViT': (segmenter, lambda folder: save(build(vit()), folder / 'x.pth')),
    'NVlabs MiT': (segformer, lambda folder: save(NVlabsMiT(num_classes=10), folder / 'x.pth')),
    'Hugging Face classifier': (
        segformer,
        lambda folder: write_huggingface(folder / 'x', 'ImageClassification', 10),
    ),
    'AugReg': (segmenter, lambda folder: write_augreg(folder / 'x.npz')),
    'timm': (segmenter, lambda folder: save(TimmViT(), folder / 'x.pth')),
}
