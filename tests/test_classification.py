"""Classifiers are trained and tested by the tools, and hand their encoders to segmentors."""

import json
import re
from pathlib import Path

import pytest
import torch
from config_leaves import CLASSIFIERS, CONFIG_DIR, copied, resolved
from mmengine.runner.checkpoint import CheckpointLoader

from mmseg_custom.engine import launch
from mmseg_custom.engine.config import load_config
from mmseg_custom.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, register_all

QUICK = CONFIG_DIR / 'quickstart/mit-b0_classification.py'
IMAGENET = [path for path in CLASSIFIERS if path != QUICK]
classifiers = pytest.mark.parametrize('path', CLASSIFIERS, ids=lambda path: path.stem)
THIN = ['model.backbone.embed_dims=8', 'model.backbone.num_layers=[1,1,1,1]']


def test_every_size_is_there():
    assert [path.stem for path in IMAGENET] == [f'mit-b{i}_imagenet-1k' for i in range(6)]


@classifiers
def test_header_names_source_command_hardware_result(path):
    for field in ('Source', 'Command', 'Hardware', 'Published'):
        assert re.search(rf'^{field}:', path.read_text(), re.M), field


@classifiers
def test_the_encoder_is_the_segmentors(path):
    """Weights fit, and so do the norms' eps; only stochastic depth may differ."""
    size = path.stem[: len('mit-b0')]
    segmentor = resolved(CONFIG_DIR / f'segformer/segformer_{size}_8xb2-160k_ade20k-512x512.py')
    ours, theirs = (
        {k: v for k, v in model.backbone.items() if k not in ('drop_path_rate', 'init_cfg')}
        for model in (resolved(path).model, segmentor.model)
    )
    assert ours == theirs
    assert resolved(path).model.head.in_channels == segmentor.model.decode_head.in_channels[-1]


@pytest.mark.parametrize('path', IMAGENET, ids=lambda path: path.stem)
def test_the_recipe_decays_matrices_only(path):
    config = copied(path)
    register_all()
    with torch.device('meta'):
        model = MODELS.build(config.model)
    wrapper = config.optim_wrapper.to_dict()
    paramwise = wrapper.pop('paramwise_cfg')
    wrapper['optimizer'].pop('fused')  # not on the meta device
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.get('DefaultOptimWrapperConstructor')
    groups = constructor(wrapper, paramwise)(model).optimizer.param_groups
    decays = {id(p): group['weight_decay'] for group in groups for p in group['params']}
    for name, parameter in model.named_parameters():
        assert decays[id(parameter)] == (0.05 if parameter.ndim > 1 else 0.0), name
    assert config.train_dataloader.batch_size * 8 == 1024
    assert config.max_epochs == config.train_cfg.max_epochs == 300


def reduced(path: Path, root: Path, work_dir: Path, *options: str):
    """A leaf on generated pictures, small enough for some steps on a CPU."""
    config = load_config(str(path), [f'data_root={root}', 'crop_size=(64,64)', *THIN, *options])
    config.model.head.update(in_channels=64, num_classes=5)
    config.work_dir = str(work_dir)
    for name in launch.LOADERS:
        config[name].update(num_workers=0, batch_size=4)
        config[name].dataset.update(indices=12)
    return config


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    from mmseg_custom.datasets.synthetic_classes import generate_quickstart_classes

    return generate_quickstart_classes(tmp_path_factory.getbasetemp() / 'quickstart_classes')


def test_the_imagenet_recipe_runs(pictures, tmp_path, monkeypatch):
    """One epoch with all its augmentation, in mmengine's epochs, and its checkpoint is tested."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    runner = launch.train(reduced(IMAGENET[0], pictures, tmp_path / 'run', 'max_epochs=1'))
    assert runner.message_hub.get_scalar('train/loss').current() > 0
    assert 0 <= runner.message_hub.get_scalar('val/top1').current() <= 100
    last = runner.param_schedulers[-1]
    assert (last.begin, last.end) == (0, 3), 'the cosine ends with the run'
    checkpoint = str(tmp_path / 'run/epoch_1.pth')
    metrics = launch.test(
        reduced(IMAGENET[0], pictures, tmp_path / 'test'), checkpoint, str(tmp_path / 'test')
    )
    assert set(metrics) == {'top1', 'top5'} and metrics['top5'] == 100
    meta = CheckpointLoader.load_checkpoint(checkpoint, 'cpu')['meta']['dataset_meta']
    assert meta['classes'] == ('cross', 'disc', 'ring', 'square', 'triangle')


def test_wrong_options_are_said(pictures, tmp_path):
    config = reduced(QUICK, pictures, tmp_path)
    with pytest.raises(ValueError, match='--show-dir write class maps'):
        launch.test(config, 'none.pth', str(tmp_path), show_dir='shown')
    with pytest.raises(ValueError, match='--amp predicts with segmentors'):
        launch.test(config, 'none.pth', str(tmp_path), amp=True)
    config = reduced(IMAGENET[0], pictures, tmp_path, 'max_epochs=1')
    config.train_dataloader.batch_size = 13
    with pytest.raises(ValueError, match=r'batch_size=13 with drop_last=True, .* 12 pictures; set'):
        launch.train(config, str(tmp_path / 'run'))
    config.model.head.num_classes = 7
    with pytest.raises(
        ValueError, match=r'num_classes=7 .* 5 classes; set model.head.num_classes=5'
    ):
        launch.prepare(config, str(tmp_path), 'none', 'train_dataloader')


@pytest.mark.slow
def test_the_tool_trains_and_a_segmentor_takes_the_encoder(run_tool, pictures, tmp_path):
    """Number by number, by the path of the checkpoint."""
    short = ['max_iters=2', 'train_dataloader.batch_size=2', f'data_root={pictures}']
    arguments = [QUICK, '--work-dir', tmp_path, '--cfg-options', *short, *THIN]
    result = run_tool('train.py', *arguments, 'model.head.in_channels=64', cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    checkpoint = str(tmp_path / 'iter_2.pth')
    backbone = MODELS.build(
        dict(
            type='MixVisionTransformer',
            embed_dims=8,
            num_layers=[1] * 4,
            num_heads=[1, 2, 5, 8],
            init_cfg=dict(type='Pretrained', checkpoint=checkpoint),
        )
    )
    backbone.init_weights()
    trained = CheckpointLoader.load_checkpoint(checkpoint, 'cpu')['state_dict']
    for name, value in backbone.state_dict().items():
        torch.testing.assert_close(value, trained[f'backbone.{name}'], rtol=0, atol=0)


@pytest.mark.slow
def test_the_quick_classification_learns_and_hands_over(run_tool, tmp_path):
    """Guessing is right in 20 % of the cases; one fast step hardly moves a trained encoder."""
    work_dir = tmp_path / 'run'
    result = run_tool('train.py', QUICK, '--work-dir', work_dir, cwd=tmp_path, timeout=1200)
    assert result.returncode == 0, result.stderr
    (best,) = work_dir.glob('best_top1_*.pth')
    test_dir = tmp_path / 'test'
    result = run_tool('test.py', work_dir / QUICK.name, best, '--work-dir', test_dir, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (metrics,) = test_dir.glob('*/*.json')
    assert json.loads(metrics.read_text())['top1'] > 90
    prefix = 'model.backbone.init_cfg'
    options = [f'{prefix}.type=Pretrained', f'{prefix}.checkpoint={best}', 'max_iters=1']
    segmentor = CONFIG_DIR / 'quickstart/segformer_mit-b0_quickstart.py'
    arguments = [segmentor, '--work-dir', tmp_path / 'segmentor', '--cfg-options', *options]
    result = run_tool('train.py', *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    given, taken = (
        CheckpointLoader.load_checkpoint(str(path), 'cpu')['state_dict']
        for path in (best, tmp_path / 'segmentor/iter_1.pth')
    )
    for name in (key for key in given if key.startswith('backbone.')):
        torch.testing.assert_close(taken[name], given[name], rtol=0, atol=2e-3)
