"""The cost of hooks: both sides train the same, one of them without ours."""

import pytest
import torch

from mmseg_custom.benchmark.hooks import ITERATIONS, WITHOUT, run_hooks, started_runner
from mmseg_custom.benchmark.run import Options
from mmseg_custom.registry import register_all

OPTIONS = Options('hooks', ('segformer_b0',), size=(32, 32), rounds=1, min_seconds=0)


def test_hooks_change_no_weight(tmp_path):
    register_all()
    states, hooks = [], []
    for side in ('ours', WITHOUT):
        runner = started_runner('segformer_b0', tmp_path / side, (32, 32), 2, side == 'ours')
        torch.manual_seed(1)
        runner.train_loop.step()
        assert runner.iter == ITERATIONS
        states.append(runner.model.state_dict())
        hooks.append({type(hook).__name__ for hook in runner.hooks})
    assert {'GuardHook', 'RunStateHook', 'InterruptionHook'} <= hooks[0] - hooks[1]
    assert {'IterTimerHook', 'LoggerHook', 'ParamSchedulerHook', 'RuntimeInfoHook'} <= hooks[1]
    assert all(torch.equal(states[1][name], value) for name, value in states[0].items())
    assert (tmp_path / 'ours/log.jsonl').is_file()
    assert not (tmp_path / WITHOUT / 'log.jsonl').exists()


@pytest.mark.slow
def test_both_sides_are_measured():
    lines = []
    (result,) = run_hooks(OPTIONS, lines.append)
    assert [measured.name for measured in result.measurements] == ['ours', WITHOUT]
    ours, plain = (measured.median_seconds for measured in result.measurements)
    assert result.comparisons[0].ratio == pytest.approx(plain / ours)
    assert 'GuardHook' in lines[0] and lines[1].endswith('% of an iteration')
    with pytest.raises(ValueError, match='leave out --dtype'):
        run_hooks(Options('hooks', ('segformer_b0',), dtype='bf16'), lines.append)
