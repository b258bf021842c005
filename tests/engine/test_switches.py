"""Each key of a config that switches something on, on the config and in small trainings."""

import json
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from config_leaves import CONFIG_DIR
from training_runs import assert_equal, configured, killed, outcome, run

from mmseg_custom.engine import launch
from mmseg_custom.engine.config import load_config
from mmseg_custom.engine.run_log import read_run_log
from mmseg_custom.engine.seeds import train_seeds
from mmseg_custom.engine.switches import apply_switches

QUICKSTART = str(CONFIG_DIR / 'quickstart/segformer_mit-b0_quickstart.py')


def switched(*options):
    """The quick start after its switches are applied, without hooks of its own."""
    config = load_config(QUICKSTART, [*options])
    config.work_dir = 'work_dirs/some_run'
    config.custom_hooks = []
    apply_switches(config)
    return config


@pytest.mark.parametrize(
    ('options', 'hook'),
    [
        (['ema=True'], dict(type='EMAHook', momentum=2e-4)),
        (['ema=0.01'], dict(type='EMAHook', momentum=0.01, update_buffers=True)),
        (['ema={"begin_iter": 100}'], dict(type='EMAHook', begin_iter=100)),
        (['early_stopping=7'], dict(monitor='mIoU', patience=7)),
        (['early_stopping={"monitor": "val/loss"}'], dict(monitor='val/loss')),
        (
            ['early_stopping=True', 'default_hooks.checkpoint.save_best=mAcc'],
            dict(type='mmseg_custom.EarlyStoppingHook', monitor='mAcc'),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else '',
)
def test_a_hook_is_added(options, hook):
    config = switched(*options)
    (added,) = config.custom_hooks
    assert hook.items() <= dict(added).items()
    assert not {'ema', 'early_stopping'} & {*config}


@pytest.mark.parametrize('options', [[], ['ema=False'], ['loggers=None', 'early_stopping=False']])
def test_nothing_is_switched_on(options):
    assert switched(*options).custom_hooks == []


@pytest.mark.parametrize(
    ('option', 'wanted'),
    [
        ('rare_class_sampling=0.05', dict(type='mmseg_custom.RareClassDataset', temperature=0.05)),
        ('rare_class_sampling={"min_pixels": 9}', dict(min_pixels=9)),
        ('class_balanced_sampling=True', dict(oversample_thr=0.1)),
        ('class_balanced_sampling=0.5', dict(oversample_thr=0.5)),
    ],
)
def test_the_training_set_is_drawn_from(option, wanted):
    plain = load_config(QUICKSTART).train_dataloader.dataset
    dataset = switched(option).train_dataloader.dataset
    assert wanted.items() <= dict(dataset).items() and dataset.dataset == plain


def test_layer_decay_keeps_other_keys():
    config = switched('layer_decay=0.8', '+optim_wrapper.paramwise_cfg.norm_decay_mult=0.0')
    assert config.optim_wrapper.paramwise_cfg == {'norm_decay_mult': 0.0, 'layer_decay': 0.8}
    with pytest.raises(ValueError, match='layer_decay sets optim_wrapper.constructor, which is X'):
        switched('layer_decay=0.8', '+optim_wrapper.constructor=X')


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('ema=always', "ema='always'; expected True, a number for momentum, or a dict"),
        ('early_stopping=0.5', 'early_stopping=0.5; expected True, a number for patience'),
        ('loggers=tensorbord', "loggers: 'tensorbord' is unknown; did you mean tensorboard"),
    ],
)
def test_wrong_values(option, message):
    with pytest.raises(ValueError, match=message):
        switched(option)


def test_a_logger_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(sys, 'path', [])
    with pytest.raises(ModuleNotFoundError, match='needs mlflow.*pip install mlflow'):
        switched('loggers=mlflow')


def test_the_run_stops_where_it_does_not_get_better(tmp_path, training_pictures):
    """Without a learning rate each validation is the first one; the count survives a kill."""
    options = ['optim_wrapper.optimizer.lr=0', 'train_cfg.val_interval=2']
    options += ['early_stopping={"monitor": "val/loss", "patience": 2}']

    def config(*hooks):
        built = configured(training_pictures, *options)
        # Batch norm would follow the batches.
        built.model.decode_head.norm_cfg = dict(type='GN', num_groups=1)
        built.custom_hooks = [*hooks]
        return built

    assert run(config(*killed(6)), tmp_path) is None
    runner = run(config(), tmp_path, resume=True)
    assert runner.iter == 6
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert (summary['iterations'], summary['max_iters']) == (6, runner.max_iters)
    assert summary['stopped_early'] and Path(summary['last_checkpoint']).name == 'iter_6.pth'
    assert torch.load(summary['last_checkpoint'], weights_only=False)['meta']['iter'] == 6
    losses = [record['val/loss'] for record in read_run_log(tmp_path) if record['mode'] == 'val']
    assert len(losses) == 3 and len(set(losses)) == 1


def test_what_is_saved_is_what_was_validated(tmp_path, training_pictures):
    """The averaged weights, whose loss and pictures go to the log and to TensorBoard."""
    config = configured(
        training_pictures,
        *('ema=0.05', 'max_iters=6', 'default_hooks.checkpoint.interval=6', 'loggers=tensorboard'),
        'model.decode_head.loss_decode.class_weight=[1,2,3,1,2,3]',
    )
    config.custom_hooks = []
    runner = run(config, tmp_path)
    trained = {k: v.clone() for k, v in runner.model.state_dict().items()}
    saved = torch.load(tmp_path / 'iter_6.pth', weights_only=True)
    assert not torch.equal(
        saved['state_dict']['decode_head.conv_seg.weight'], trained['decode_head.conv_seg.weight']
    )
    runner.model.load_state_dict(saved['state_dict'])
    runner.model.eval()
    loss = weight = 0
    class_weight = torch.tensor([1.0, 2, 3, 1, 2, 3])
    with torch.no_grad():
        for batch in runner.val_dataloader:
            for sample in runner.model.val_step(batch):
                labels, logits = sample.gt_sem_seg.data, sample.seg_logits.data[None]
                loss += F.cross_entropy(
                    logits, labels, class_weight, ignore_index=255, reduction='sum'
                )
                weight += class_weight[labels[labels != 255]].sum()
    (record,) = [record for record in read_run_log(tmp_path) if record['mode'] == 'val']
    assert record['val/loss'] == pytest.approx((loss / weight).item(), rel=1e-5)
    assert [*record['class_IoU']] == [*runner.val_dataloader.dataset.metainfo['classes']]

    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(next(tmp_path.glob('*/vis_data'))))
    events.Reload()
    assert events.Scalars('val/loss')[0].value == pytest.approx(record['val/loss'], rel=1e-6)
    assert sorted(events.Tags()['images']) == ['val/0_val_000', 'val/1_val_001']


def test_a_test_takes_the_average_as_the_checkpoint_has_it(tmp_path, training_pictures):
    """With test-time augmentation, which wraps the model, the hook would average the wrapper."""
    options = ('ema=0.05', 'max_iters=2', 'train_cfg.val_interval=2')
    run(configured(training_pictures, *options), tmp_path)
    trained = load_config(str(next(tmp_path.glob('*.py'))))
    assert [hook for hook in trained.custom_hooks if hook['type'] == 'EMAHook']
    checkpoint = str(tmp_path / 'iter_2.pth')
    plain, configs = configured(training_pictures), (trained, configured(training_pictures))
    results = [
        launch.test(config, checkpoint, str(tmp_path / name), tta=True)
        for name, config in zip(('trained', 'plain'), configs)
    ]
    assert results[0] == results[1]
    without = launch.test(plain, checkpoint, str(tmp_path / 'without'))
    assert without != results[0] and abs(without['mIoU'] - results[0]['mIoU']) < 5


@pytest.mark.slow
def test_everything_at_once_survives_a_kill(tmp_path, training_pictures):
    options = ('ema=True', 'freeze=[backbone.layers.0]', 'layer_decay=0.5', 'early_stopping=5')

    def config(*hooks):
        built = configured(training_pictures, *options)
        built.custom_hooks = [*hooks]
        return built

    run(config(), tmp_path / 'whole')
    assert run(config(*killed(7)), tmp_path / 'cut') is None
    run(config(), tmp_path / 'cut', resume=True)
    assert_equal(outcome(tmp_path / 'cut'), outcome(tmp_path / 'whole'))


@pytest.mark.slow
@pytest.mark.parametrize('name', ['wandb', 'mlflow'])
def test_other_loggers(tmp_path, training_pictures, monkeypatch, name):
    pytest.importorskip(name)
    monkeypatch.setenv('WANDB_MODE', 'offline')
    options = ('max_iters=2', 'train_cfg.val_interval=2', f'loggers={name}')
    run(configured(training_pictures, *options), tmp_path)
    files = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*') if path.is_file()]
    assert [f for f in files if '0_val_000' in f and f.endswith('.png')]
    assert [f for f in files if f.endswith('.wandb' if name == 'wandb' else 'metrics/mIoU')]


def test_deterministic_mode(tmp_path, training_pictures, uninterrupted):
    """No operation of the training is refused, and none gives another number on a CPU."""
    try:
        run(configured(training_pictures), tmp_path, deterministic=True)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.deterministic = False
    assert_equal(outcome(tmp_path), uninterrupted)


def test_several_seeds(tmp_path, training_pictures, capsys):
    options = ('max_iters=1', 'default_hooks.checkpoint.interval=1', 'train_cfg.val_interval=1')
    config = configured(training_pictures, *options)
    torch.set_num_threads(1)
    alone = train_seeds(config, [3], str(tmp_path), from_scratch=True)
    table = train_seeds(config, [3, 5], str(tmp_path), from_scratch=True, resume=True)
    assert json.loads((tmp_path / 'seeds.json').read_text()) == table
    row = table['val/loss']
    one, other = (read_run_log(tmp_path / f'seed_{seed}')[-1]['val/loss'] for seed in (3, 5))
    assert row['values'] == {'3': one, '5': other} and one != other
    assert row['mean'] == pytest.approx((one + other) / 2)
    assert row['std'] == pytest.approx(abs(one - other) / 2**0.5)
    assert f'{row["mean"]:.4f}' in capsys.readouterr().out
    assert alone['val/loss']['mean'] == one and alone['val/loss']['std'] is None


def test_seeds_are_checked(tmp_path):
    with pytest.raises(ValueError, match='--seeds 1 1: a seed is given twice'):
        train_seeds(load_config(QUICKSTART), [1, 1], str(tmp_path))
    with pytest.raises(ValueError, match='with --seeds give --resume alone'):
        train_seeds(load_config(QUICKSTART), [1], str(tmp_path), resume='a.pth')
