"""The contenders compute the same, and disagreement is refused."""

import pytest
import torch

from mmseg_custom.benchmark import networks as networks_module
from mmseg_custom.benchmark.counting import total_bytes
from mmseg_custom.benchmark.named_models import MIT, NAMES, build, model_config
from mmseg_custom.benchmark.networks import build_networks, can_compare, without_randomness
from mmseg_custom.benchmark.run import Options, compare, run
from mmseg_custom.benchmark.tasks import DEFAULT_BATCH, differences, make_batch, make_contender

CPU = torch.device('cpu')


def contenders(task, name='segformer_b0', peer='mmseg', size=(64, 96), batch=1):
    config = model_config(name, size, slide=task == 'slide')
    networks = build_networks(name, config, [peer], CPU)
    data = make_batch(batch, size, CPU)
    return [make_contender(task, network, data, torch.float32) for network in networks]


@pytest.mark.parametrize('task', DEFAULT_BATCH)
@pytest.mark.parametrize('name', ['segformer_b0', 'segmenter_vit-t_mask'])
def test_ours_and_stock_have_the_same_weights_and_results(task, name):
    pair = contenders(task, name, batch=2 if task in ('train', 'loss') else 1)
    ours, stock = (contender.network.model for contender in pair)
    assert type(ours.backbone).__module__.startswith('mmseg_custom.')
    for part in (stock, stock.backbone, stock.decode_head, stock.decode_head.loss_decode):
        assert type(part).__module__.startswith('mmseg.')
    assert all(
        torch.equal(value, stock.state_dict()[key]) for key, value in ours.state_dict().items()
    )
    found = compare(pair)['mmseg']
    expected = {'train': {'loss', 'gradient'}, 'loss': {'loss_ce', 'acc_seg', 'gradient'}}
    whole = {'infer': {'logits'}, 'predict': {'labels'}, 'slide': {'labels'}}
    assert found.keys() == {**expected, **whole}[task]
    assert max(found.values()) < 1e-4
    for contender in pair:
        contender.step()


def test_batch_norm_statistics_are_not_a_fresh_models():
    ours = contenders('infer')[0].network.model
    norm = ours.decode_head.fusion_conv.bn
    assert norm.running_var.std() > 0.1 and norm.running_mean.std() > 0.01


@pytest.mark.parametrize('task', ['infer', 'train'])
def test_hugging_face_gets_our_weights(task):
    pytest.importorskip('transformers')
    pair = contenders(task, 'segformer_mlp_b0', 'hf', size=(64, 64), batch=2)
    found = compare(pair)['hf']
    assert 0 <= max(found.values()) < 1e-4
    assert pair[1].network.same_weights
    pair[1].step()


def test_hugging_face_has_another_head_than_mmseg():
    pytest.importorskip('transformers')
    pair = contenders('infer', 'segformer_b0', 'hf', size=(64, 64))
    assert not pair[1].network.same_weights
    assert compare(pair) == {'hf': {}}


@pytest.mark.parametrize('task', ['infer', 'train', 'predict'])
def test_disagreement_is_refused(task):
    pair = contenders(task)
    with torch.no_grad():
        pair[1].network.model.decode_head.conv_seg.weight[0] += 0.5
    with pytest.raises(ValueError, match=r'ours and mmseg disagree: \w+ differs by'):
        compare(pair)
    assert max(compare(pair, refuse=False)['mmseg'].values()) > 1e-3


def test_not_a_number_is_refused():
    pair = contenders('infer')
    with torch.no_grad():
        pair[1].network.model.decode_head.conv_seg.bias[0] = float('nan')
    with pytest.raises(ValueError, match='logits differs by nan'):
        compare(pair)


def test_differences_are_relative_and_count_labels():
    ours = {'x': torch.tensor([1.0, 3.0]), 'y': torch.tensor([1, 2, 3, 4]), 'own': torch.ones(1)}
    theirs = {'x': torch.tensor([1.0, 4.0]), 'y': torch.tensor([1, 2, 3, 0])}
    assert differences(ours, theirs) == {'x': 0.25, 'y': 0.25}
    with pytest.raises(ValueError, match=r'shapes \(2,\) and \(3,\)'):
        differences(ours, {'x': torch.ones(3)})


def test_randomness_comes_back_after_the_comparison():
    model = build(model_config('segformer_b0')).train()
    before = [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout2d)]
    drop_path = model.backbone.layers[3][1][1].attn.dropout_layer
    with without_randomness(model):
        assert drop_path.drop_prob == 0
        assert [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout2d)] == [0.0]
    assert [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout2d)] == before == [0.1]
    assert drop_path.drop_prob == pytest.approx(0.1)


def test_a_step_leaves_no_gradients():
    for contender in contenders('train', batch=2):
        contender.step()
        parameters = list(contender.network.model.parameters())
        assert all(p.grad is None for p in parameters)
        # Weights and both moments of AdamW, inputs, buffers.
        num_bytes = total_bytes(contender.resident())
        assert num_bytes > 3 * 4 * sum(p.numel() for p in parameters)


def test_encoder_parameters_of_all_sizes():
    published = {'b0': 3.32, 'b1': 13.15, 'b2': 24.20, 'b3': 44.07, 'b4': 60.84, 'b5': 81.44}
    for size in MIT:
        with torch.device('meta'):
            backbone = build(model_config(f'segformer_{size}')).backbone
        count = sum(p.numel() for p in backbone.parameters())
        assert round(count / 1e6, 2) == published[size]


def test_which_peer_has_which_model():
    assert all(can_compare(name, 'loss', 'mmseg') != ('_mlp_' in name) for name in NAMES)
    assert can_compare('segformer_mlp_b2', 'train', 'hf')
    assert not can_compare('segformer_mlp_b2', 'slide', 'hf')
    assert not can_compare('segmenter_vit-s_mask', 'infer', 'smp')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(models=('segformer_b9',)), "unknown model 'segformer_b9'; expected one of"),
        (dict(models=('segformer_mlp_b0',)), 'segformer_mlp_b0 has no counterpart in mmseg'),
        (dict(against=('timm',)), '--against timm: expected one of mmseg, hf, smp'),
        (dict(task='fly'), '--task fly: expected one of infer'),
        (dict(task='loss', compile='ours'), 'leave out --compile'),
        (dict(dtype='fp8'), '--dtype fp8: expected one of fp32'),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        run(Options(**{'task': 'infer', 'models': ('segformer_b0',), **options}))


@pytest.mark.parametrize(
    ('peer', 'module', 'line'),
    [
        ('hf', 'transformers', r'pip install "mmseg_custom\[peers\]"'),
        ('smp', 'segmentation_models_pytorch', 'pip install segmentation-models-pytorch'),
    ],
)
def test_missing_peer(monkeypatch, peer, module, line):
    monkeypatch.setattr(networks_module.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=f'{module} is not installed; run: {line}'):
        build_networks('segformer_b0', model_config('segformer_b0'), [peer], CPU)
