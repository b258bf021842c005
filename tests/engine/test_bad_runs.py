"""A training that must not go on, or not begin: one line with the fix, status 2, nothing lost."""

import re
import shutil

import pytest
import torch
from mmengine.hooks import Hook
from torch import nn
from training_runs import configured, run

from mmseg_custom import cli
from mmseg_custom.engine.failures import explained
from mmseg_custom.engine.launch import test as run_test
from mmseg_custom.registry import HOOKS


@HOOKS.register_module()
class FullMemoryHook(Hook):
    """Raise what torch raises when a GPU has no memory left."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')

    def before_test_iter(self, runner, batch_idx, data_batch=None):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')


def short(root, *options, **more):
    return configured(root, 'max_iters=1', 'train_cfg.val_interval=1', *options, **more)


@pytest.fixture(scope='module')
def finished(tmp_path_factory, training_pictures):
    """Work folder of a run that is done."""
    work_dir = tmp_path_factory.mktemp('finished')
    run(short(training_pictures), work_dir)
    return work_dir


def val_interval(config):
    config.train_cfg.val_interval = 2
    return {}, 'train_cfg.val_interval=2, but the run ends at max_iters=1; set .*val_interval=1 '


def val_begin(config):
    config.train_cfg.val_begin = 9
    return {}, 'train_cfg.val_begin=9, but the run ends at max_iters=1; set train_cfg.val_begin=1 '


def unknown_hook(config):
    config.custom_hooks = [dict(type='EMAHok')]
    return {}, "unknown hook type='EMAHok' .*; did you mean EMAHook"


def unknown_pattern(config):
    config.optim_wrapper.paramwise_cfg = dict(custom_keys={'pos_block': dict(decay_mult=0.0)})
    return {}, "custom_keys: no parameter has 'pos_block'.*names are like backbone"


def full_memory(config):
    config.custom_hooks = [dict(type='FullMemoryHook')]
    return {}, (
        r'memory of the GPU is full.*--amp .*model.backbone.with_cp=True \(now False\).*'
        r'batch_size=1 \(now 2\) with optim_wrapper.accumulative_counts=2 \(now 1\).*'
        r'crop_size=\(32,32\)" \(now \(64, 64\)\)'
    )


def finished_run(config):
    return {'overwrite': False}, r'already holds .*iter_1.pth: .*--resume.*--work-dir.*--overwrite'


def other_optimizer(config):
    config.optim_wrapper.optimizer = dict(type='SGD', lr=0.1, momentum=0.9)
    return {'resume': True}, r'another optimizer: SGD needs .*momentum.*load_from='


@pytest.mark.parametrize(
    'case',
    [
        val_interval,
        val_begin,
        unknown_hook,
        unknown_pattern,
        full_memory,
        finished_run,
        other_optimizer,
    ],
    ids=lambda case: case.__name__,
)
def test_one_line_and_everything_kept(case, finished, training_pictures, capsys):
    config = short(training_pictures)
    options, message = case(config)
    options = options or {'resume': True}
    if case is full_memory:
        config.train_cfg.max_iters = 2
    kept = {path: path.read_bytes() for path in finished.glob('*') if path.is_file()}
    with pytest.raises(SystemExit) as raised:
        cli.run(lambda argv: run(config, finished, **options), [])
    assert raised.value.code == 2
    (line,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith('error')]
    assert re.search(message, line), line
    if case is full_memory:  # it had begun
        kept = {path: content for path, content in kept.items() if path.suffix == '.pth'}
    assert {path: path.read_bytes() for path in kept} == kept
    assert len(kept) > 1


def test_a_finished_run_without_checkpoints_is_protected(tmp_path, training_pictures):
    (tmp_path / 'summary.json').write_text('{}')
    with pytest.raises(FileExistsError, match=r'already holds summary.json: .*--overwrite'):
        run(short(training_pictures), tmp_path)


def test_overwriting_and_resuming_what_is_done_are_said(finished, tmp_path, training_pictures):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    run(short(training_pictures), tmp_path, resume=True)
    text = max(tmp_path.glob('*/*.log'), key=lambda path: path.stat().st_mtime_ns).read_text()
    assert 'WARNING - this run is done: 1 of 1 iterations; set a larger max_iters' in text
    (tmp_path / 'best_mDice_iter_1.pth').write_bytes(b'of the old run')
    (tmp_path / 'best_of_mine.pth').write_bytes(b'of the user')
    run(short(training_pictures), tmp_path, overwrite=True)
    text = max(tmp_path.glob('*/*.log'), key=lambda path: path.stat().st_mtime_ns).read_text()
    removed = 'iter_1.pth, best_mDice_iter_1.pth, best_mIoU_iter_1.pth'
    assert f'WARNING - --overwrite: removed {removed}, the run that was in {tmp_path}' in text
    kept = {path.name for path in tmp_path.glob('best*.pth')}
    assert kept == {'best_mIoU_iter_1.pth', 'best_of_mine.pth'}


def test_a_batch_of_one(tmp_path, training_pictures):
    """Torch refuses one value per channel; a larger map is trained with a warning."""
    config = short(training_pictures, 'model.decode_head.norm_cfg.type=BN')
    config.train_dataloader.batch_size = 1
    runner = run(config, tmp_path)
    text = max(tmp_path.glob('*/*.log')).read_text()
    assert 'WARNING - train_dataloader.batch_size=1: batch norm takes its statistics' in text
    message = r'got input size .*train_dataloader.batch_size=2 or more'
    with pytest.raises(ValueError, match=message), explained(runner):
        nn.BatchNorm2d(3).train()(torch.zeros(1, 3, 1, 1))
    with pytest.raises(ValueError, match='^another mistake$'), explained(runner):
        raise ValueError('another mistake')


def test_another_pipeline_than_the_validations_is_named(finished, tmp_path, training_pictures):
    checkpoint = str(finished / 'iter_1.pth')
    record = torch.load(checkpoint, weights_only=True)['meta']['validation']
    assert 'LoadImageFromFile' in record['text'] and len(record['sha256']) == 64
    config = short(training_pictures)
    run_test(config, checkpoint, str(tmp_path / 'same'))
    assert 'this test is not the' not in max(tmp_path.glob('same/*/*.log')).read_text()
    config = short(training_pictures)
    pipeline = config.test_dataloader.dataset.pipeline
    pipeline.insert(1, dict(type='Resize', scale=(96, 96), keep_ratio=False))
    config.model.data_preprocessor.mean = [0, 0, 0]
    run_test(config, checkpoint, str(tmp_path / 'other'))
    text = max(tmp_path.glob('other/*/*.log')).read_text()
    assert "this test is not the validation of the checkpoint's training" in text
    assert 'pipeline.Resize.scale: absent -> (96, 96)' in text
    assert 'data_preprocessor.mean: [123.675, 116.28, 103.53] -> [0, 0, 0]' in text


def test_full_memory_in_a_test(finished, tmp_path, training_pictures):
    config = short(training_pictures)
    config.custom_hooks = [dict(type='FullMemoryHook')]
    config.model.test_cfg = dict(mode='slide', crop_size=(64, 64), stride=(32, 32))
    with pytest.raises(MemoryError, match=r'window_batch_size=2 \(now 4\)'):
        run_test(config, str(finished / 'iter_1.pth'), str(tmp_path))
