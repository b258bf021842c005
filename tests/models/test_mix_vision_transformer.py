"""MixVisionTransformer: the stock class's numbers, in float64, and what it adds."""

import pytest
import torch
from torch import nn

from mmseg_custom.models.layers import row_blocks
from mmseg_custom.registry import MODELS

MixVisionTransformer = MODELS.get('MixVisionTransformer')
StockMixVisionTransformer = MODELS.get('mmseg.MixVisionTransformer')
TINY = dict(
    embed_dims=8, num_layers=[1, 2, 1, 1], num_heads=[1, 2, 5, 8], drop_path_rate=0.0, mlp_ratio=2
)
VARIANTS = {
    'b0': (32, [2, 2, 2, 2], 3.32),
    'b1': (64, [2, 2, 2, 2], 13.15),
    'b2': (64, [3, 4, 6, 3], 24.20),
    'b3': (64, [3, 4, 18, 3], 44.07),
    'b4': (64, [3, 8, 27, 3], 60.84),
    'b5': (64, [3, 6, 40, 3], 81.44),
}


def pair(**arguments):
    """Our model and the stock one, in float64, with the same random weights."""
    torch.manual_seed(0)
    config = {**TINY, **arguments}
    ours = MODELS.build(dict(type='MixVisionTransformer', _scope_='mmseg_custom', **config))
    stock = MODELS.build(dict(type='MixVisionTransformer', _scope_='mmseg', **config))
    assert type(ours) is MixVisionTransformer
    assert type(stock) is StockMixVisionTransformer is not MixVisionTransformer
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    stock.load_state_dict(ours.state_dict(), strict=True)
    ours.load_state_dict(stock.state_dict(), strict=True)
    return ours.double(), stock.double()


def forward_and_backward(model, images, seed=0):
    """Outputs, and gradients of a sum weighted so that no output's gradient is constant."""
    torch.manual_seed(seed)
    outs = model(images)
    model.zero_grad()
    sum(
        (out * torch.linspace(-1, 1, out[0].numel()).view_as(out[0])).sum() for out in outs
    ).backward()
    return outs, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_same(ours, stock, images):
    outs, gradients = forward_and_backward(ours, images)
    wanted, wanted_gradients = forward_and_backward(stock, images)
    assert len(outs) == len(wanted)
    for out, want in zip(outs, wanted, strict=True):
        assert out.shape == want.shape
        assert (out - want).abs().max() <= 1e-9 * want.abs().max()
    assert gradients.keys() == wanted_gradients.keys()
    largest = max(gradient.norm() for gradient in wanted_gradients.values())
    for name, gradient in gradients.items():
        assert (gradient - wanted_gradients[name]).norm() <= 1e-9 * largest, name


@pytest.mark.parametrize('size', [(128, 128), (97, 131), (120, 90)], ids=str)
@pytest.mark.parametrize('mode', ['train', 'eval'])
def test_numbers_of_the_stock_class(size, mode):
    ours, stock = (getattr(model, mode)() for model in pair())
    assert_same(ours, stock, torch.randn(2, 3, *size, dtype=torch.float64))


@pytest.mark.parametrize('numbers', [2**6, 2**12, 2**20])
def test_numbers_of_the_stock_class_by_rows(numbers, monkeypatch):
    monkeypatch.setattr(row_blocks, '_BLOCK_NUMBERS', numbers)
    ours, stock = (model.eval() for model in pair())
    images = torch.randn(2, 3, 97, 131, dtype=torch.float64)
    with torch.no_grad():
        for out, want in zip(ours(images), stock(images), strict=True):
            assert (out - want).abs().max() <= 1e-9 * want.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize('size', [(512, 512), (97, 131), (480, 360)], ids=str)
@pytest.mark.parametrize('variant', ['b0', 'b2'])
def test_numbers_of_the_stock_class_in_published_sizes(variant, size):
    embed_dims, num_layers, _ = VARIANTS[variant]
    ours, stock = pair(embed_dims=embed_dims, num_layers=num_layers, mlp_ratio=4)
    for model in (ours, stock):
        model.init_weights()
    stock.load_state_dict(ours.state_dict())
    assert_same(ours, stock, torch.randn(1, 3, *size, dtype=torch.float64))


@pytest.mark.parametrize(
    'arguments',
    [
        dict(qkv_bias=False),
        dict(out_indices=(1, 3), act_cfg=dict(type='ReLU')),
        dict(drop_path_rate=0.5),
        dict(drop_path_rate=0.3, with_cp=True),
        dict(norm_cfg=dict(type='LN', eps=1e-3), sr_ratios=[4, 2, 1, 1], strides=[4, 2, 2, 1]),
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_numbers_of_the_stock_class_with_other_arguments(arguments):
    ours, stock = pair(**arguments)
    # Stochastic depth draws the same samples from the same random stream.
    assert_same(ours.train(), stock.train(), torch.randn(3, 3, 64, 96, dtype=torch.float64))


def test_float32_stays_close():
    ours, stock = (model.float() for model in pair())
    images = torch.randn(1, 3, 64, 64)
    for out, want in zip(ours(images), stock(images), strict=True):
        torch.testing.assert_close(out, want, rtol=1e-4, atol=1e-4)


def test_dropout_is_a_mean_preserving_drop():
    ours, _ = pair(drop_rate=0.2, attn_drop_rate=0.2)
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    first, second = ours.train()(images)[0], ours(images)[0]
    assert (first - second).abs().max() > 1e-3
    torch.testing.assert_close(ours.eval()(images)[0], ours(images)[0])


def test_outputs_are_channels_last_views_of_the_tokens():
    outs = pair()[0](torch.randn(1, 3, 64, 64, dtype=torch.float64))
    assert [tuple(out.shape) for out in outs] == [
        (1, 8, 16, 16),
        (1, 16, 8, 8),
        (1, 40, 4, 4),
        (1, 64, 2, 2),
    ]
    assert all(out.is_contiguous(memory_format=torch.channels_last) for out in outs)


@pytest.mark.parametrize('variant', VARIANTS)
def test_number_of_parameters(variant):
    embed_dims, num_layers, millions = VARIANTS[variant]
    with torch.device('meta'):
        model = MixVisionTransformer(
            embed_dims=embed_dims, num_layers=num_layers, num_heads=[1, 2, 5, 8]
        )
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == millions


def test_initial_weights_have_the_stock_distribution():
    torch.manual_seed(0)
    ours = MixVisionTransformer(embed_dims=32, num_layers=[2, 2, 2, 2], num_heads=[1, 2, 5, 8])
    stock = StockMixVisionTransformer(
        embed_dims=32, num_layers=[2, 2, 2, 2], num_heads=[1, 2, 5, 8]
    )
    ours.init_weights()
    stock.init_weights()
    wanted = dict(stock.named_parameters())
    for name, parameter in ours.named_parameters():
        spread = wanted[name].std()
        assert abs(parameter.std() - spread) <= 0.15 * spread, name
        assert abs(parameter.mean() - wanted[name].mean()) <= 0.15 * spread, name


def test_each_kind_of_norm_has_its_eps():
    model = MixVisionTransformer(
        **TINY, patch_norm_cfg=dict(type='LN', eps=1e-5), sr_norm_cfg=dict(type='LN', eps=1e-4)
    )
    eps = {
        name: module.eps
        for name, module in model.named_modules()
        if isinstance(module, nn.LayerNorm)
    }
    for name, value in eps.items():
        patch, reduction = name.endswith('0.norm'), name.endswith('attn.norm')
        assert value == (1e-5 if patch else 1e-4 if reduction else 1e-6), name
    assert len({*eps.values()}) == 3


def test_frozen_stages_neither_learn_nor_drop():
    model = MixVisionTransformer(**{**TINY, 'drop_path_rate': 0.5}, frozen_stages=1).train()
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert {name.split('.')[1] for name in frozen} == {'0', '1'}
    assert len(frozen) == sum(len(list(stage.parameters())) for stage in model.layers[:2])
    for stage, modules in enumerate(model.layers):
        assert all(module.training == (stage > 1) for module in modules.modules())
    outs = model(torch.randn(2, 3, 64, 64))
    assert [out.requires_grad for out in outs] == [False, False, True, True]
    # The layers after frozen ones learn, also with recomputed activations.
    model = MixVisionTransformer(**TINY, frozen_stages=0, with_cp=True).train()
    model(torch.randn(1, 3, 32, 32))[-1].sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.layers[:3].parameters())


def test_pretrained_weights_are_loaded(tmp_path):
    source, path = MixVisionTransformer(**TINY), tmp_path / 'mit.pth'
    torch.save(dict(state_dict=source.state_dict()), path)
    model = MixVisionTransformer(**TINY, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    model.init_weights()
    for name, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(num_heads=[1, 2, 5]), r'num_heads needs one number for each of num_stages=4'),
        (dict(sr_ratios=[8, 4, 2, 0]), r'sr_ratios must be positive.*\[8, 4, 2, 0\]'),
        (
            dict(out_indices=(0, 4)),
            r'0\.\.3, got \[0, 4\].*set backbone\.out_indices=\(0, 1, 2, 3\)',
        ),
        (dict(frozen_stages=4), r'-1\.\.3, got 4'),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        MixVisionTransformer(**{**TINY, **arguments})


def test_images_that_do_not_fit():
    model = MixVisionTransformer(**TINY)
    with pytest.raises(ValueError, match=r'28x64 pixels.*at least 29x29'):
        model(torch.zeros(1, 3, 28, 64))
    assert model(torch.zeros(1, 3, 29, 64))[-1].shape == (1, 64, 1, 2)


@pytest.mark.parametrize('mode', ['train', 'eval'])
def test_traces_without_graph_breaks(mode):
    two_stages = dict(num_stages=2, num_layers=[1, 1], num_heads=[1, 2], out_indices=(0, 1))
    more = dict(patch_sizes=[7, 3], strides=[4, 2], sr_ratios=[8, 1], drop_path_rate=0.5)
    model = MixVisionTransformer(**{**TINY, **two_stages, **more}, with_cp=mode == 'train')
    getattr(model, mode)()
    images = torch.randn(2, 3, 40, 40)
    compiled = torch.compile(model, fullgraph=True, backend='eager')
    torch.manual_seed(1)
    wanted = model(images)
    torch.manual_seed(1)
    for out, want in zip(compiled(images), wanted, strict=True):
        torch.testing.assert_close(out, want)


def test_half_precision_autocast_stays_close():
    ours = pair()[0].float().eval()
    images = torch.randn(1, 3, 64, 64)
    wanted = ours(images)
    with torch.autocast('cpu', torch.bfloat16):
        outs = ours(images)
    for out, want in zip(outs, wanted, strict=True):
        assert (out - want).norm() <= 0.05 * want.norm()
