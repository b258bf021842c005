"""A training that diverges, spikes, waits or cannot begin: what is said and what stays whole."""

import json
import re

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from processes import run_in_two
from training_runs import configured, run

from mmseg_custom.engine.hooks.guard_hook import NotFiniteError
from mmseg_custom.engine.launch import train
from mmseg_custom.registry import HOOKS, MODELS


@HOOKS.register_module()
class DamageHook(Hook):
    """Spoil the first picture of one iteration, or the classifier before another."""

    priority = 'LOW'

    def __init__(self, picture: int = 0, classifier: int = 0, bias: float = 1000) -> None:
        self.picture, self.classifier, self.bias = picture, classifier, bias
        self.states = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        model = runner.model
        if runner.iter + 1 == self.classifier:
            model.decode_head.conv_seg.bias.data[0] = self.bias
        self.states[runner.iter + 1] = {k: v.clone() for k, v in model.state_dict().items()}
        if runner.iter + 1 == self.picture:
            data_batch['inputs'][0] = data_batch['inputs'][0] * np.nan


def guarded(root, *options: str, damage=None, guard=None):
    hooks = (dict(type='DamageHook', **damage),) if damage else ()
    config = configured(root, 'max_iters=8', 'train_cfg.val_interval=8', *options, hooks=hooks)
    config.default_hooks.guard = dict(type='GuardHook', **(guard or {}))
    return config


def logged(work_dir) -> str:
    return max(work_dir.glob('*/*.log')).read_text()


@pytest.fixture(scope='module', params=['clipped', 'free'])
def stopped(request, tmp_path_factory, training_pictures):
    """Config, work folder and message of a run that stopped at a picture of NaN."""
    work_dir = tmp_path_factory.mktemp(request.param)
    config = guarded(training_pictures, damage=dict(picture=5))
    if request.param == 'free':
        del config.optim_wrapper['clip_grad']
    with pytest.raises(NotFiniteError) as raised:
        run(config, work_dir)
    return config, work_dir, str(raised.value)


class TestNotFinite:
    def test_names_the_picture_and_the_dump(self, stopped):
        _, work_dir, message = stopped
        report = json.loads((work_dir / 'non_finite/iter_5.json').read_text())
        (picture,) = report['pictures_not_finite']
        assert message.startswith('iteration 5: decode.loss_ce')
        assert f'because the image of {picture} is not' in message
        assert f'{work_dir}/non_finite/iter_5.json' in message and 'max_skips=10' in message
        assert report['images'][0] == picture and len(report['images']) == 2
        assert sum(report['pixels_by_class'].values()) == 2 * 64 * 64
        assert report['losses']['decode.loss_ce'] != report['losses']['decode.loss_ce']
        assert report['lr'] and report['seed'] == 0 and report['iteration'] == 5
        assert not (work_dir / 'iter_8.pth').exists() and (work_dir / 'iter_4.pth').exists()
        assert report['last_checkpoint'].endswith('iter_4.pth')

    def test_the_dump_fails_again(self, stopped):
        """With the weights from before the step; with another picture it does not."""
        config, work_dir, _ = stopped
        dump = torch.load(work_dir / 'non_finite/iter_5.pth', weights_only=True)
        assert all(value.isfinite().all() for value in dump['state_dict'].values())
        model = MODELS.build(config.model)
        model.load_state_dict(dump['state_dict'])
        assert model.backbone.training
        pictures = torch.stack(dump['inputs'])
        assert not model(pictures, mode='tensor').isfinite().all()
        assert model(pictures[1:].repeat(2, 1, 1, 1), mode='tensor').isfinite().all()

    def test_a_training_starts_from_the_dump(self, stopped, tmp_path, training_pictures):
        config = guarded(training_pictures, 'max_iters=1', 'train_cfg.val_interval=1')
        config.load_from = str(stopped[1] / 'non_finite/iter_5.pth')
        config.custom_hooks.append(dict(type='DamageHook'))
        runner = train(config, str(tmp_path))
        begun = next(hook.states[1] for hook in runner.hooks if isinstance(hook, DamageHook))
        dump = torch.load(config.load_from, weights_only=True)['state_dict']
        assert all(torch.equal(begun[name], value) for name, value in dump.items())

    def test_nothing_is_left_of_a_skipped_step(self, tmp_path, training_pictures):
        """Weights, moments and statistics of norm layers are those from before the iteration."""
        config = guarded(training_pictures, damage=dict(picture=5), guard=dict(max_skips=1))
        runner = run(config, tmp_path)
        states = next(hook.states for hook in runner.hooks if isinstance(hook, DamageHook))
        for name, value in states[5].items():
            assert torch.equal(states[6][name], value), name
        assert any(not torch.equal(states[7][name], value) for name, value in states[6].items())
        steps = {int(state['step']) for state in runner.optim_wrapper.optimizer.state.values()}
        assert steps == {7}
        assert 'left out step 1 of at most 1' in logged(tmp_path)
        checkpoint = torch.load(tmp_path / 'iter_8.pth', weights_only=True)
        assert all(value.isfinite().all() for value in checkpoint['state_dict'].values())
        assert checkpoint['message_hub']['runtime_info']['skipped_steps'] == 1

    def test_one_too_many_and_gathered_gradients(self, tmp_path, training_pictures):
        """A classifier of NaN fails in every iteration; a step is made in every second."""
        options = ('optim_wrapper.accumulative_counts=2',)
        damage = dict(classifier=3, bias=np.nan)
        config = guarded(training_pictures, *options, damage=damage, guard=dict(max_skips=1))
        with pytest.raises(NotFiniteError, match=r'iteration 6: .* though all images are: lower'):
            run(config, tmp_path)
        warned = [line for line in logged(tmp_path).splitlines() if 'is not finite' in line]
        assert ['left out step 1 of at most 1' in line for line in warned] == [False, True, False]
        assert 'iteration 3: ' in warned[0] and 'iteration 4: ' in warned[1]


def in_one_of_two(rank: int, data, work_dir) -> None:
    config = guarded(data, damage=dict(picture=5 * rank), guard=dict(max_skips=1))
    run(config, work_dir, launcher='pytorch')


@pytest.mark.slow
def test_processes_skip_together(tmp_path, training_pictures):
    """One has the bad picture; the gradient, and so the step, is that of both."""
    run_in_two(in_one_of_two, training_pictures, tmp_path)
    reports = [
        json.loads((tmp_path / f'non_finite/iter_5{rank}.json').read_text())
        for rank in ('', '_rank_1')
    ]
    assert [len(report['pictures_not_finite']) for report in reports] == [0, 1]
    # The logged loss is the mean over the processes.
    assert not any(np.isfinite(float(report['losses']['loss'])) for report in reports)
    assert all(report['gradients_not_finite'] for report in reports)
    checkpoint = torch.load(tmp_path / 'iter_8.pth', weights_only=True)
    assert all(value.isfinite().all() for value in checkpoint['state_dict'].values())
    assert checkpoint['message_hub']['runtime_info']['skipped_steps'] == 1


def test_a_spike_and_a_slow_loader(tmp_path, training_pictures):
    guard = dict(window=2, max_data_share=1e-4)
    runner = run(guarded(training_pictures, damage=dict(classifier=6), guard=guard), tmp_path)
    text = logged(tmp_path)
    assert 'WARNING - iteration 6: loss ' in text and 'times the median of the last 2' in text
    assert text.count('times the median') == 1
    assert re.search(
        r'iterations \d+ to \d+: \d+ of \d+ ms .* went into waiting for the loader', text
    )
    assert not (tmp_path / 'non_finite').exists() and runner.iter == 8


def test_groups_of_parameters_and_patterns_that_reach_none(tmp_path, training_pictures):
    """Such a pattern stops our own configs; MMSegmentation's, which have one, are warned."""
    config = guarded(training_pictures, 'max_iters=1', 'train_cfg.val_interval=1')
    config.optim_wrapper.paramwise_cfg = dict(
        custom_keys={
            'head': dict(lr_mult=10.0),
            'norm': dict(decay_mult=0.0),
            'decode_hed': dict(lr_mult=10.0),
        }
    )
    message = r"no parameter has 'decode_hed' \(did you mean decode_head\?\) in its name"
    with pytest.raises(ValueError, match=message):
        run(config, tmp_path / 'ours')
    assert not list((tmp_path / 'ours').glob('*.py')), 'a run that did not begin left its config'
    config.pop('custom_imports')
    runner = run(config, tmp_path / 'official')
    text = logged(tmp_path / 'official')
    assert 'WARNING - optim_wrapper.paramwise_cfg.custom_keys: no parameter has' in text
    table = text.partition('learning rates and weight decays:\n')[2]
    rows = [line.split() for line in table.splitlines()[1:4]]
    assert [row[:2] for row in rows] == [['0.001', '0.01'], ['0.001', '0'], ['0.01', '0.01']]
    assert rows[0][4].startswith('backbone.') and rows[2][4].startswith('decode_head.')
    parameters = list(runner.model.parameters())
    assert sum(int(row[2]) for row in rows) == len(parameters)
    assert sum(int(row[3].replace(',', '')) for row in rows) == sum(p.numel() for p in parameters)
