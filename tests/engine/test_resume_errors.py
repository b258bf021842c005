"""What a resume refuses, and what it says where it goes on."""

import json
import random
import shutil
import time
from pathlib import Path

import pytest
import torch
from training_runs import ITERATIONS, assert_equal, configured, killed, outcome, run

from mmseg_custom.engine.checkpoint_files import problem_of
from mmseg_custom.engine.config_difference import config_difference
from mmseg_custom.engine.generators import generator_states
from mmseg_custom.engine.run_state import continue_generators


@pytest.fixture(scope='module')
def stopped(tmp_path_factory, training_pictures) -> Path:
    """Work folder of a run that was killed after its first checkpoint, at iteration 4."""
    work_dir = tmp_path_factory.mktemp('stopped') / 'run'
    asynchronous = 'default_hooks.checkpoint.asynchronous=True'
    assert run(configured(training_pictures, asynchronous, hooks=killed(5)), work_dir) is None
    # The thread that writes goes on in this process.
    deadline = time.monotonic() + 60
    while not (work_dir / 'last_checkpoint').is_file() or [*work_dir.glob('.*.partial')]:
        assert time.monotonic() < deadline, 'the checkpoint is not written'
        time.sleep(0.02)
    return work_dir


@pytest.fixture
def copy(stopped, tmp_path) -> Path:
    return Path(shutil.copytree(stopped, tmp_path / 'run'))


def logged(work_dir: Path) -> str:
    return max(work_dir.glob('*/*.log')).read_text()


def test_another_global_batch(copy, training_pictures):
    config = configured(training_pictures)
    config.train_dataloader.batch_size = 3
    before = {path: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    message = (
        r'2 samples per iteration, this run has 3 x 1 process.*set train_dataloader.batch_size=2'
    )
    with pytest.raises(ValueError, match=message):
        run(config, copy, resume=True)
    assert {path: path.read_bytes() for path in copy.iterdir() if path.is_file()} == before


def test_no_moving_average_in_the_checkpoint(copy, training_pictures):
    path = copy / 'iter_4.pth'
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint['ema_state_dict']
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r'--resume .*SHA-256 is not the one in iter_4.pth.sha256'):
        run(configured(training_pictures), copy, resume=str(path))
    (copy / 'iter_4.pth.sha256').unlink()
    with pytest.raises(ValueError, match=r'iter_4.pth holds no moving average .*EMAHook; resume'):
        run(configured(training_pictures), copy, resume=True)


def test_another_config_is_named_and_a_thread_writes(copy, training_pictures, uninterrupted):
    """The rest of the run keeps another number of checkpoints and writes them in a thread."""
    options = (
        'default_hooks.checkpoint.asynchronous=True',
        'default_hooks.checkpoint.max_keep_ckpts=1',
    )
    run(configured(training_pictures, *options), copy, resume=True)
    assert_equal(outcome(copy), uninterrupted)
    text = logged(copy)
    assert "the config is not the checkpoint's: " in text
    assert 'default_hooks.checkpoint.max_keep_ckpts: 3 -> 1' in text
    assert [path.name for path in copy.glob('iter_*.pth')] == [f'iter_{ITERATIONS}.pth']
    assert [problem_of(path) for path in copy.glob('*.pth')] == [None, None]
    summary = json.loads((copy / 'summary.json').read_text())
    assert summary['iterations'] == ITERATIONS and summary['last_train']['step'] == ITERATIONS
    assert summary['best_score'] == max(r['mIoU'] for r in uninterrupted[1] if 'mIoU' in r)
    assert Path(summary['best_checkpoint']).is_file() and Path(summary['last_checkpoint']).is_file()


def test_overwriting_removes_what_could_be_resumed(copy, training_pictures):
    config = configured(training_pictures, 'max_iters=1', 'train_cfg.val_interval=1')
    (copy / 'iter_8.pth').write_text('of the old run')
    (copy / '.iter_12.pth.partial').write_text('half written')
    run(config, copy, overwrite=True)
    left = sorted(path.name for path in copy.iterdir() if path.name.startswith(('iter_', '.iter_')))
    assert left == ['iter_1.pth', 'iter_1.pth.sha256']


def test_another_number_of_processes_seeds_anew():
    """From the seed, the iteration and the rank: the same again for the same."""
    saved = [generator_states(), generator_states()]
    numbers = []
    for iteration in (4, 4, 5):
        assert continue_generators(saved, 0, iteration) is False
        numbers.append((torch.rand(()).item(), random.random()))
    assert numbers[0] == numbers[1] != numbers[2]
    saved = generator_states()
    expected = torch.rand(3).tolist(), random.random()
    assert continue_generators([saved], 0, 4) is True
    assert (torch.rand(3).tolist(), random.random()) == expected


def test_config_difference_reads_text_without_running_it():
    before = "a = dict(b=1, c=[dict(d='x'), 2])\nwork_dir = 'x'\ne = print('run')\nf = (1, 2)\n"
    now = "a = dict(b=2, c=[dict(d='y'), 2])\nwork_dir = 'y'\ne = {'g': 1}\nf = (1, 2)\n"
    expected = ['a.b: 1 -> 2', "a.c.0.d: 'x' -> 'y'", 'e: "print(\'run\')" -> absent']
    found = config_difference(before, now)
    assert found[:3] == expected and len(found) == 4
    assert config_difference(before, now, most=1) == ['a.b: 1 -> 2', 'and 3 more']
    assert config_difference('no config', now) == config_difference(now, now) == []
