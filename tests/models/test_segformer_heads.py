"""SegformerHead and SegformerMLPHead: the numbers of the stock head and of plain formulas."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmseg_custom.models.decode_heads import segformer_head
from mmseg_custom.models.layers import linear_norm, row_blocks
from mmseg_custom.registry import MODELS

SegformerHead, SegformerMLPHead = MODELS.get('SegformerHead'), MODELS.get('SegformerMLPHead')
StockSegformerHead = MODELS.get('mmseg.SegformerHead')

CHANNELS = [8, 16, 40, 64]
ARGUMENTS = dict(
    in_channels=CHANNELS,
    in_index=[0, 1, 2, 3],
    channels=12,
    num_classes=5,
    dropout_ratio=0.0,
    norm_cfg=dict(type='BN'),
)
SIZES = {
    'even': [(32, 32), (16, 16), (8, 8), (4, 4)],
    'odd': [(25, 33), (13, 17), (7, 9), (4, 5)],
}


def feature_maps(sizes='odd', batch=2, channels_last=True):
    generator = torch.Generator().manual_seed(3)
    maps = [
        torch.randn(batch, c, *size, dtype=torch.float64, generator=generator)
        for c, size in zip(CHANNELS, SIZES[sizes], strict=True)
    ]
    form = torch.channels_last if channels_last else torch.contiguous_format
    return [m.contiguous(memory_format=form).requires_grad_() for m in maps]


def randomise(head):
    """Give a head weights, and running statistics, that are all different from a fresh one's."""
    torch.manual_seed(0)
    with torch.no_grad():
        for tensor in (*head.parameters(), *head.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.1 - 0.5 * (tensor.ndim > 1))
    return head.double()


def stock_pair(**arguments):
    config = dict(type='SegformerHead', **{**ARGUMENTS, **arguments})
    ours = randomise(MODELS.build(dict(config, _scope_='mmseg_custom')))
    stock = MODELS.build(dict(config, _scope_='mmseg')).double()
    assert type(ours) is SegformerHead
    assert type(stock) is StockSegformerHead is not SegformerHead
    stock.load_state_dict(ours.state_dict(), strict=True)
    ours.load_state_dict(stock.state_dict(), strict=True)
    return ours, stock


def backward(head, maps):
    """Logits, gradients of all parameters and maps, and the state after the step."""
    torch.manual_seed(0)
    logits = head(maps)
    weights = torch.linspace(-1, 2, logits.numel(), dtype=logits.dtype).view(logits.shape)
    head.zero_grad()
    (logits * weights).sum().backward()
    gradients = {name: parameter.grad for name, parameter in head.named_parameters()}
    gradients |= {f'map {i}': m.grad for i, m in enumerate(maps) if m.grad is not None}
    return logits, gradients, head.state_dict()


def assert_same(ours, stock, **maps):
    logits, gradients, state = backward(ours, feature_maps(**maps))
    wanted, wanted_gradients, wanted_state = backward(stock, feature_maps(**maps))
    assert logits.shape == wanted.shape
    assert (logits - wanted).abs().max() <= 1e-9 * wanted.abs().max()
    assert gradients.keys() == wanted_gradients.keys()
    largest = max(gradient.norm() for gradient in wanted_gradients.values())
    for name, gradient in gradients.items():
        assert (gradient - wanted_gradients[name]).norm() <= 1e-9 * largest, name
    for name, value in state.items():
        torch.testing.assert_close(value, wanted_state[name], rtol=1e-9, atol=0, msg=name)


@pytest.mark.parametrize('mode', ['train', 'eval'])
@pytest.mark.parametrize('sizes', SIZES)
@pytest.mark.parametrize('channels_last', [True, False])
def test_numbers_of_the_stock_head(mode, sizes, channels_last):
    ours, stock = (getattr(head, mode)() for head in stock_pair())
    assert_same(ours, stock, sizes=sizes, channels_last=channels_last)


@pytest.mark.parametrize(
    'norm',
    [
        dict(type='BN'),
        dict(type='BN', momentum=None),
        dict(type='BN', affine=False),
        dict(type='BN', track_running_stats=False),
    ],
    ids=lambda norm: list(norm)[-1],
)
def test_batch_statistics_follow_from_those_of_a_narrow_input(norm, monkeypatch):
    folded = []
    original = linear_norm.fold_batch_statistics
    monkeypatch.setattr(
        segformer_head,
        'fold_batch_statistics',
        lambda conv, pixels: folded.append(pixels.shape[1]) or original(conv, pixels),
    )
    ours, stock = (head.train() for head in stock_pair(channels=32, norm_cfg=norm))
    for _ in range(2):
        assert_same(ours, stock)
    assert folded == [8, 16, 8, 16], 'the two narrow levels of 8, 16, 40 and 64 channels'


ROWWISE = [
    dict(),
    dict(align_corners=True),
    dict(interpolate_mode='bicubic'),
    dict(interpolate_mode='nearest', align_corners=None),
    dict(act_cfg=dict(type='LeakyReLU')),
    dict(in_index=[3], in_channels=[64]),
]


@pytest.mark.parametrize('arguments', ROWWISE, ids=str)
@pytest.mark.parametrize('numbers', [2**9, 2**11, 2**20])
def test_numbers_of_the_stock_head_by_rows(arguments, numbers, monkeypatch):
    monkeypatch.setattr(row_blocks, '_BLOCK_NUMBERS', numbers)
    ours, stock = (head.eval() for head in stock_pair(**arguments))
    with torch.no_grad():
        for maps in (feature_maps('even', batch=1), feature_maps('odd', channels_last=False)):
            logits, wanted = ours(maps), stock(maps)
            assert logits.shape == wanted.shape
            assert (logits - wanted).abs().max() <= 1e-9 * wanted.abs().max()


@pytest.mark.parametrize(
    'arguments',
    [
        dict(interpolate_mode='nearest', align_corners=None),
        dict(interpolate_mode='bicubic'),
        dict(align_corners=True),
        dict(norm_cfg=None, act_cfg=dict(type='LeakyReLU')),
        dict(norm_cfg=dict(type='GN', num_groups=4)),
        dict(norm_cfg=dict(type='BN', track_running_stats=False)),
        dict(in_index=[0, 2], in_channels=[8, 40]),
        dict(dropout_ratio=0.5),
        dict(channels=32, dropout_ratio=0.5),
    ],
    ids=lambda arguments: next(iter(arguments)),
)
@pytest.mark.parametrize('mode', ['train', 'eval'])
def test_numbers_of_the_stock_head_with_other_arguments(mode, arguments):
    ours, stock = (getattr(head, mode)() for head in stock_pair(**arguments))
    assert_same(ours, stock)


def test_dropout_follows_its_own_mode():
    """As users do it who want several predictions of one picture."""
    ours, stock = (head.eval() for head in stock_pair(dropout_ratio=0.5))
    for head in (ours, stock):
        head.dropout.train()
    results = []
    with torch.no_grad():
        for head in (ours, stock):
            torch.manual_seed(0)
            results.append(head(feature_maps()))
        ours.dropout = nn.Dropout(0.5)
        elementwise = ours(feature_maps())
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)
    assert (elementwise - results[0]).abs().max() > 1e-3


class PlainMLPHead(nn.Module):
    """The official decoder, step by step: project, resize, concatenate, fuse, classify."""

    def __init__(self, head: nn.Module):
        super().__init__()
        for name, module in head.named_children():
            if name != 'loss_decode':
                self.add_module(name, module)

    def forward(self, maps):
        resized = []
        for number, level in enumerate(maps, start=1):
            projected = getattr(self, f'linear_c{number}').proj(level.flatten(2).transpose(1, 2))
            projected = projected.transpose(1, 2).unflatten(2, level.shape[2:])
            resized.append(F.interpolate(projected, maps[0].shape[2:], mode='bilinear'))
        fused = self.linear_fuse.conv(torch.cat(resized[::-1], dim=1))
        return self.conv_seg(torch.relu(self.linear_fuse.bn(fused)))


def mlp_head(**arguments):
    return randomise(SegformerMLPHead(**{**ARGUMENTS, **arguments}))


@pytest.mark.parametrize('mode', ['train', 'eval'])
@pytest.mark.parametrize('sizes', SIZES)
@pytest.mark.parametrize('channels', [4, 48])
def test_mlp_head_is_the_official_formula(mode, sizes, channels):
    ours, reference = mlp_head(channels=channels), PlainMLPHead(mlp_head(channels=channels))
    assert_same(getattr(ours, mode)(), getattr(reference, mode)(), sizes=sizes)
    with torch.no_grad():
        maps = feature_maps(sizes)
        torch.testing.assert_close(ours(maps), reference(maps), rtol=1e-9, atol=1e-9)


def test_mlp_head_has_the_official_keys():
    wanted = {f'linear_c{i}.proj.{kind}' for i in (1, 2, 3, 4) for kind in ('weight', 'bias')}
    wanted |= {'linear_fuse.conv.weight', 'conv_seg.weight', 'conv_seg.bias'}
    norm = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
    wanted |= {f'linear_fuse.bn.{name}' for name in norm}
    state = mlp_head().state_dict()
    assert state.keys() == wanted
    assert state['linear_fuse.conv.weight'].shape == (12, 48, 1, 1)


@pytest.mark.parametrize('mode', ['train', 'eval'])
def test_mlp_head_has_hugging_faces_numbers(mode):
    transformers = pytest.importorskip('transformers')
    from transformers.models.segformer.modeling_segformer import SegformerDecodeHead

    config = transformers.SegformerConfig(
        hidden_sizes=CHANNELS, decoder_hidden_size=12, num_labels=5, classifier_dropout_prob=0.0
    )
    ours, theirs = mlp_head(), SegformerDecodeHead(config).double()
    # Released weights say linear_c; release 5 has another name in memory.
    levels = 'linear_c' if hasattr(theirs, 'linear_c') else 'linear_projections'
    renamed = {f'linear_c{i}.': f'{levels}.{i - 1}.' for i in (1, 2, 3, 4)}
    renamed |= {'linear_fuse.conv.': 'linear_fuse.', 'linear_fuse.bn.': 'batch_norm.'}
    renamed |= {'conv_seg.': 'classifier.'}
    state = {}
    for key, value in ours.state_dict().items():
        prefix = next(prefix for prefix in renamed if key.startswith(prefix))
        state[key.replace(prefix, renamed[prefix])] = value
    theirs.load_state_dict(state, strict=True)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum, module.eps = 0.1, 1e-5
    for head in (ours, theirs):
        getattr(head, mode)()
    logits, wanted = ours(feature_maps()), theirs(feature_maps())
    assert (logits - wanted).abs().max() <= 1e-9 * wanted.abs().max()


def test_mlp_head_initial_weights():
    torch.manual_seed(0)
    head = SegformerMLPHead(**{**ARGUMENTS, 'channels': 64})
    head.init_weights()
    assert abs(head.conv_seg.weight.std() - 0.01) < 1e-3
    assert torch.equal(head.linear_fuse.bn.weight, torch.ones(64))


@pytest.mark.parametrize('head_type', [SegformerHead, SegformerMLPHead])
class TestBothHeads:
    def test_arguments_that_do_not_fit(self, head_type):
        for wrong in (dict(in_index=[0, 1, 2]), dict(in_channels=8)):
            with pytest.raises(ValueError, match='in_channels and in_index must be lists of one'):
                head_type(**{**ARGUMENTS, **wrong})

    def test_maps_that_do_not_fit(self, head_type):
        head, maps = randomise(head_type(**ARGUMENTS)), feature_maps()
        with pytest.raises(ValueError, match=r'in_index=\[0, 1, 2, 3\] .* 3 maps'):
            head(maps[:3])
        with pytest.raises(ValueError, match=r'set decode_head\.in_channels=\[16, 8, 40, 64\]'):
            head([maps[1], maps[0], *maps[2:]])

    @pytest.mark.parametrize('mode', ['train', 'eval'])
    def test_traces_without_graph_breaks(self, head_type, mode):
        head = getattr(randomise(head_type(**ARGUMENTS)), mode)()
        state = {name: value.clone() for name, value in head.state_dict().items()}
        wanted = head(feature_maps())
        head.load_state_dict(state)
        logits = torch.compile(head, fullgraph=True, backend='eager')(feature_maps())
        torch.testing.assert_close(logits, wanted)

    def test_folding_sees_new_weights(self, head_type):
        head = randomise(head_type(**ARGUMENTS)).eval()
        before = head(feature_maps())
        norm = next(m for m in head.modules() if isinstance(m, nn.BatchNorm2d))
        with torch.no_grad():
            norm.running_var *= 4
        assert (head(feature_maps()) - before).abs().max() > 1e-3

    def test_half_precision_autocast_stays_close(self, head_type):
        head = randomise(head_type(**ARGUMENTS)).float().eval()
        maps = [m.float() for m in feature_maps()]
        wanted = head(maps)
        with torch.autocast('cpu', torch.bfloat16):
            assert (head(maps) - wanted).norm() <= 0.05 * wanted.norm()
