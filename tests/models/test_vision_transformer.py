"""VisionTransformer: the stock class's numbers, in float64, and what it adds."""

import pytest
import torch
from parity import assert_same_numbers, pair

from mmseg_custom.registry import MODELS

TINY = dict(
    type='VisionTransformer',
    img_size=(64, 64),
    patch_size=16,
    embed_dims=24,
    num_layers=3,
    num_heads=3,
    mlp_ratio=2,
)
OPTIONS = {
    'segmenter': dict(final_norm=True, norm_cfg=dict(type='LN', eps=1e-6)),
    'patch 8': dict(patch_size=8),
    'several outputs': dict(out_indices=(0, 2), out_origin=True, final_norm=True),
    'early output': dict(out_indices=1),
    'no class token': dict(with_cls_token=False, final_norm=True),
    'class token out': dict(output_cls_token=True, out_indices=[1, 2]),
    'pre-norm': dict(pre_norm=True, patch_norm=True, patch_bias=True),
    'same padding': dict(patch_pad='same'),
    'own padding': dict(patch_pad=3),
    'no padding': dict(patch_pad=0),
    'bilinear': dict(interpolate_mode='bilinear', img_size=(48, 80)),
    'no bias, three layers, ReLU': dict(qkv_bias=False, num_fcs=3, act_cfg=dict(type='ReLU')),
    'checkpointing': dict(with_cp=True, final_norm=True),
}


def build(**arguments):
    return MODELS.build({**TINY, '_scope_': 'mmseg_custom', **arguments})


def images(*size, batch=2):
    torch.manual_seed(3)
    return torch.randn(batch, 3, *size, dtype=torch.float64)


@pytest.mark.parametrize('size', [(64, 64), (97, 131), (120, 90)], ids=str)
@pytest.mark.parametrize('option', OPTIONS)
def test_numbers_of_the_stock_class(option, size):
    ours, stock = pair({**TINY, **OPTIONS[option]})
    for model in (ours, stock):
        model.eval()
    assert_same_numbers(ours, stock, images(*size))


@pytest.mark.parametrize('with_cp', [False, True])
@pytest.mark.parametrize('size', [(512, 512), (97, 131), (480, 360)], ids=str)
def test_numbers_in_training_with_stochastic_depth(size, with_cp):
    ours, stock = pair({**TINY, 'drop_path_rate': 0.5, 'final_norm': True, 'with_cp': with_cp})
    ours.train()
    stock.train()
    assert_same_numbers(ours, stock, images(*size, batch=3))


def test_dropout_drops_in_training_only():
    model = build(drop_rate=0.5, attn_drop_rate=0.5).double()
    x = images(64, 64)
    model.eval()
    assert torch.equal(model(x)[0], model(x)[0])
    model.train()
    assert not torch.equal(model(x)[0], model(x)[0])


def test_outputs_are_views_of_the_tokens():
    out = build(final_norm=True)(images(64, 96, batch=1).float())[0]
    assert out.shape == (1, 24, 4, 6)
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_nearest_position_embedding():
    model = build(interpolate_mode='nearest', img_size=(32, 32))
    grid = torch.arange(4.0).view(1, 4, 1)
    embedding = torch.cat((torch.full((1, 1, 1), 9.0), grid), dim=1)
    resized = model.resize_pos_embed(embedding, (4, 4), (2, 2), 'nearest')
    want = [9, 0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3]
    assert resized.flatten().tolist() == want


@pytest.mark.parametrize('wrapped', [False, True])
def test_pretrained_weights_load_as_in_the_stock_class(tmp_path, wrapped):
    weights = build(img_size=(96, 96)).state_dict()
    weights = {name: torch.randn_like(value) for name, value in weights.items()}
    path = tmp_path / 'weights.pth'
    torch.save({'state_dict': weights} if wrapped else weights, path)
    config = {**TINY, 'init_cfg': dict(type='Pretrained', checkpoint=str(path))}
    ours, stock = (
        MODELS.build({**config, '_scope_': scope}) for scope in ('mmseg_custom', 'mmseg')
    )
    ours.init_weights()
    stock.init_weights()
    for name, want in stock.state_dict().items():
        assert torch.equal(ours.state_dict()[name], want), name
    assert torch.equal(
        ours.layers[1].attn.attn.in_proj_weight, weights['layers.1.attn.attn.in_proj_weight']
    )
    assert ours.pos_embed.shape == (1, 17, 24)
    assert torch.equal(ours.pos_embed[:, 0], weights['pos_embed'][:, 0])


def test_initialisation_has_the_stock_spread():
    ours, stock = (
        MODELS.build({**TINY, 'embed_dims': 96, '_scope_': scope})
        for scope in ('mmseg_custom', 'mmseg')
    )
    ours.init_weights()
    stock.init_weights()
    for (name, parameter), want in zip(ours.named_parameters(), stock.parameters(), strict=True):
        assert parameter.std().item() == pytest.approx(want.std().item(), rel=0.3, abs=1e-5), name


@pytest.mark.parametrize(
    ('stages', 'trainable'),
    [
        (0, ('layers.0', 'layers.1', 'layers.2', 'ln1')),
        (2, ('layers.2', 'ln1')),
        (3, ()),
    ],
)
def test_frozen_stages(stages, trainable):
    model = build(frozen_stages=stages, final_norm=True, drop_rate=0.5, pre_norm=True).train()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == name.startswith(trainable or ('-',)), name
    assert [layer.training for layer in model.layers] == [i >= stages for i in range(3)]
    assert not model.drop_after_pos.training
    assert not model.patch_embed.training
    assert model.eval().train() is model


def test_nothing_is_frozen_by_default():
    model = build(final_norm=True).train()
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_norm_eval_keeps_norms_in_eval_mode():
    model = build(final_norm=True, norm_eval=True).train()
    assert not model.norm1.training
    assert not model.layers[0].norm1.training
    assert model.layers[0].attn.training


@pytest.mark.parametrize('mode', ['train', 'eval'])
def test_one_graph_without_breaks(mode):
    torch.compiler.reset()
    model = getattr(
        build(final_norm=True, drop_path_rate=0.1, num_layers=2, out_indices=(0, 1)), mode
    )()
    compiled = torch.compile(model, fullgraph=True, backend='eager')
    x = images(72, 64).float()
    torch.manual_seed(0)
    want = model(x)
    torch.manual_seed(0)
    out = compiled(x)
    for ours, reference in zip(out, want, strict=True):
        assert torch.allclose(ours, reference, atol=1e-5)
    sum(o.square().sum() for o in out).backward()
    assert model.pos_embed.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(num_heads=5), 'num_heads=5 and embed_dims=24; set num_heads=4'),
        (dict(out_indices=3), r'0\.\.2 .*got \[3\].*set out_indices=2'),
        (dict(out_indices=[0, -2]), r'got \[-2\] with num_layers=3'),
        (dict(frozen_stages=4), 'got 4 with num_layers=3; set frozen_stages=3'),
        (dict(img_size=(1, 2, 3)), r'got \(1, 2, 3\); set img_size=224'),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)


@pytest.mark.parametrize(
    ('shape', 'message'),
    [
        ((1, 3, 10, 40), '10x40 pixels is smaller than a patch of 16x16.*backbone.patch_size'),
    ],
)
def test_images_that_do_not_fit(shape, message):
    with pytest.raises(ValueError, match=message):
        build()(torch.zeros(shape))


def test_position_embedding_that_does_not_fit():
    with pytest.raises(ValueError, match='4x4 patches has 17 positions, got 20'):
        build().resize_pos_embed(torch.zeros(1, 20, 24), (2, 2), (4, 4), 'bicubic')
