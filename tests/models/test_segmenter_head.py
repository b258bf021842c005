"""Segmenter's decoders: the stock classes' numbers, in float64, and what they add."""

import pytest
import torch
from parity import assert_same_numbers, pair
from small_models import VIT

from mmseg_custom.registry import MODELS

MASK = dict(
    type='SegmenterMaskTransformerHead',
    in_channels=20,
    channels=20,
    num_classes=7,
    num_layers=2,
    num_heads=3,
    embed_dims=24,
    dropout_ratio=0.0,
)
LINEAR = dict(
    type='FCNHead',
    in_channels=20,
    channels=20,
    num_convs=0,
    concat_input=False,
    num_classes=7,
)
OPTIONS = {
    'mask': MASK,
    'mask, eps': {**MASK, 'norm_cfg': dict(type='LN', eps=1e-2)},
    'mask, plain': {**MASK, 'qkv_bias': False, 'num_fcs': 3, 'act_cfg': dict(type='ReLU')},
    'mask, last of several': {**MASK, 'in_index': 1},
    'linear': LINEAR,
    'convolutions': {**LINEAR, 'num_convs': 2, 'concat_input': True, 'norm_cfg': dict(type='BN')},
}


def maps(*size, batch=2):
    torch.manual_seed(3)
    return [torch.randn(batch, 20, *size, dtype=torch.float64) for _ in range(2)]


@pytest.mark.parametrize('mode', ['train', 'eval'])
@pytest.mark.parametrize('size', [(16, 16), (7, 9)], ids=str)
@pytest.mark.parametrize('option', OPTIONS)
def test_numbers_of_the_stock_class(option, size, mode):
    ours, stock = pair(OPTIONS[option])
    getattr(ours, mode)()
    getattr(stock, mode)()
    assert_same_numbers(ours, stock, maps(*size))


def test_the_linear_decoder_is_one_classifier():
    head = MODELS.build({**LINEAR, '_scope_': 'mmseg_custom', 'dropout_ratio': 0.0})
    assert {name: tuple(value.shape) for name, value in head.state_dict().items()} == {
        'conv_seg.weight': (7, 20, 1, 1),
        'conv_seg.bias': (7,),
    }
    x = maps(3, 4)[1].float()
    want = torch.einsum('nchw,kc->nkhw', x, head.conv_seg.weight[..., 0, 0])
    want += head.conv_seg.bias.view(-1, 1, 1)
    assert torch.allclose(head([x]), want, atol=1e-5)


def test_masks_are_normalised_over_the_classes():
    head = MODELS.build({**MASK, '_scope_': 'mmseg_custom'}).eval()
    masks = head([maps(4, 5)[0].float()])
    assert torch.allclose(masks.mean(1), torch.zeros(2, 4, 5), atol=1e-5)
    assert masks.shape == (2, 7, 4, 5)


ONE_CHANNEL = {
    **MASK,
    'num_classes': 2,
    'out_channels': 1,
    'threshold': 0.5,
    'loss_decode': dict(type='BinaryCrossEntropyLoss'),
}


def similarities(head, inputs) -> torch.Tensor:
    """Cosines of patches and class tokens, (N, K, h, w): what ``mask_norm`` gets."""
    caught = []
    with_hook = head.mask_norm.register_forward_hook(lambda _, args, out: caught.append(args[0]))
    head(inputs)
    with_hook.remove()
    return caught[0].unflatten(1, inputs[0].shape[2:]).permute(0, 3, 1, 2)


@pytest.mark.parametrize('scope', ['mmseg', 'mmseg_custom'])
def test_a_norm_over_two_classes_keeps_a_sign_only(scope, recwarn):
    head = MODELS.build({**MASK, 'num_classes': 2, '_scope_': scope}).double().eval()
    told = any('set --cfg-options task=binary' in str(warning.message) for warning in recwarn)
    assert told is (scope == 'mmseg_custom')
    head.init_weights()
    inputs = maps(16, 16)
    cosines = similarities(head, inputs)
    half = (cosines[:, 1] - cosines[:, 0]) / 2
    masks = head(inputs)
    torch.testing.assert_close(masks[:, 1], half / (half.square() + 1e-5).sqrt())
    torch.testing.assert_close(masks[:, 0], -masks[:, 1])
    # No pixel can be surer than sigmoid(2) = 0.88, and most lie where the slope is gone.
    assert (masks.abs() <= 1).all() and (masks[:, 1].abs() > 0.98).double().mean() > 0.7


def test_one_channel_is_a_scaled_similarity():
    head = MODELS.build({**ONE_CHANNEL, 'foreground_prior': 0.1, '_scope_': 'mmseg_custom'})
    head.init_weights()
    head.double().eval()
    shapes = {name: tuple(value.shape) for name, value in head.state_dict().items()}
    assert shapes['cls_emb'] == (1, 1, 24)
    assert shapes['mask_norm.weight'] == shapes['mask_norm.bias'] == (1,)
    assert torch.sigmoid(head.mask_norm.bias).item() == pytest.approx(0.1, abs=1e-6)
    inputs = maps(4, 5)
    masks, cosines = head(inputs), similarities(head, inputs)
    torch.testing.assert_close(masks, 10 * cosines + head.mask_norm.bias)
    masks.square().sum().backward()
    assert masks.shape == (2, 1, 4, 5) and masks.std() > 0.1
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters())


def test_one_channel_of_mmseg_is_constant():
    """The norm over one class: whatever the picture, the output is the norm's bias."""
    stock = MODELS.build({**MASK, 'num_classes': 1, '_scope_': 'mmseg'}).double().eval()
    stock.init_weights()
    with torch.no_grad():
        stock.mask_norm.bias.fill_(0.7)
    assert similarities(stock, maps(4, 5)).std() > 0.01
    assert torch.allclose(stock(maps(4, 5)), torch.tensor(0.7, dtype=torch.float64))


def test_initialisation():
    ours, stock = (MODELS.build({**MASK, '_scope_': s}) for s in ('mmseg_custom', 'mmseg'))
    ours.init_weights()
    stock.init_weights()
    assert not hasattr(ours, 'conv_seg')
    for (name, parameter), want in zip(ours.named_parameters(), stock.parameters(), strict=True):
        if want.unique().numel() == 1:
            assert torch.equal(parameter, want), name
        else:
            assert parameter.std().item() == pytest.approx(want.std().item(), rel=0.3), name


@pytest.mark.parametrize('mode', ['train', 'eval'])
@pytest.mark.parametrize('config', [MASK, LINEAR], ids=['mask', 'linear'])
def test_one_graph_without_breaks(config, mode):
    torch.compiler.reset()
    head = getattr(MODELS.build({**config, '_scope_': 'mmseg_custom', 'dropout_ratio': 0}), mode)()
    x = [m.float() for m in maps(4, 5)]
    torch.manual_seed(0)
    want = head(x)
    torch.manual_seed(0)
    out = torch.compile(head, fullgraph=True, backend='eager')(x)
    assert torch.allclose(out, want, atol=1e-5)
    out.square().sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


@pytest.mark.slow
@pytest.mark.parametrize('mode', ['train', 'eval'])
def test_the_whole_segmenter_compiles_to_one_graph(mode):
    torch.compiler.reset()
    head = {**MASK, 'drop_path_rate': 0.0}
    config = dict(type='EncoderDecoder', backbone={**VIT, 'embed_dims': 20}, decode_head=head)
    model = getattr(MODELS.build({**config, '_scope_': 'mmseg_custom'}), mode)()
    compiled = torch.compile(model, fullgraph=True)
    images = torch.randn(2, 3, 70, 64)
    assert torch.allclose(compiled(images), model(images), atol=1e-4)
    compiled(images).square().sum().backward()
    assert model.backbone.pos_embed.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({**MASK, 'num_heads': 5}, 'num_heads=5 and embed_dims=24; set num_heads=4'),
        ({**MASK, 'out_channels': 9}, 'out_channels=9.*num_classes=7'),
        ({**LINEAR, 'channels': 16}, 'channels=16 and in_channels=20; set decode_head.channels=20'),
    ],
)
def test_arguments_that_do_not_fit(config, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build({**config, '_scope_': 'mmseg_custom'})


def test_a_map_that_does_not_fit():
    head = MODELS.build({**MASK, '_scope_': 'mmseg_custom'})
    with pytest.raises(ValueError, match='in_channels=20, got 24; set decode_head.in_channels=24'):
        head([torch.zeros(1, 24, 4, 4)])
