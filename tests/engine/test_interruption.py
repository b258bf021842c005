"""SIGTERM and SIGINT: the iteration is finished, saved, and the run continues exactly."""

import multiprocessing
import os
import signal
import subprocess
import time

import pytest
import torch
from mmengine.hooks import Hook
from torch.utils.data import DataLoader
from training_runs import assert_equal, configured, outcome, run

from mmseg_custom.engine.hooks.interruption_hook import EXIT_INTERRUPTED
from mmseg_custom.engine.samplers.worker import WorkerStart
from mmseg_custom.registry import HOOKS


@HOOKS.register_module()
class SignalHook(Hook):
    """Send this process a signal in an iteration, or in the validation at it."""

    def __init__(self, at: int, number: int, validation: bool = False) -> None:
        self.at, self.number, self.validation = at, number, validation

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if not self.validation and runner.iter + 1 == self.at:
            os.kill(os.getpid(), self.number)

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if self.validation and runner.iter == self.at:
            os.kill(os.getpid(), self.number)


def interrupted(data, work_dir, *options: str, **signal_options) -> str:
    """Train with a :class:`SignalHook`; returns what was logged about the end."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    hooks = (dict(type='SignalHook', **signal_options),)
    with pytest.raises(SystemExit) as stopped:
        run(configured(data, *options, hooks=hooks), work_dir)
    assert stopped.value.code == EXIT_INTERRUPTED == 75
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    log = next(work_dir.glob('*/*.log')).read_text()
    return next(line for line in log.splitlines() if 'stopped by' in line)


def test_in_an_iteration(tmp_path, training_pictures, uninterrupted):
    line = interrupted(training_pictures, tmp_path, at=5, number=signal.SIGTERM)
    assert 'SIGTERM after iteration 5' in line and 'iter_5.pth; continue with --resume' in line
    run(configured(training_pictures), tmp_path, resume=True)
    assert_equal(outcome(tmp_path), uninterrupted)


@pytest.mark.slow
def test_in_a_validation(tmp_path, training_pictures, uninterrupted):
    """The weights saved are the training's, not the average that was being validated."""
    line = interrupted(training_pictures, tmp_path, at=6, number=signal.SIGINT, validation=True)
    assert 'SIGINT after iteration 6' in line
    run(configured(training_pictures), tmp_path, resume=True)
    assert_equal(outcome(tmp_path), uninterrupted)


@pytest.mark.slow
def test_in_an_epoch(tmp_path, training_pictures, uninterrupted_epochs):
    """A run that counts epochs saves under a name that is older than the next epoch's."""
    options = ('max_epochs=2', 'train_cfg.val_interval=1')
    line = interrupted(training_pictures, tmp_path, *options, at=8, number=signal.SIGTERM)
    assert 'epoch_1_iter_8.pth' in line
    run(configured(training_pictures, *options), tmp_path, resume=True)
    assert_equal(outcome(tmp_path, 'epoch_2.pth'), uninterrupted_epochs)


class Ticks(torch.utils.data.Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        return os.getpid()


def test_a_loader_worker_obeys_its_training_only():
    """A terminal and a launcher signal every process; the step in progress needs its batch."""
    loader = iter(DataLoader(Ticks(), num_workers=1, worker_init_fn=WorkerStart(None)))
    worker = next(loader).item()
    for name in ('-INT', '-TERM'):
        subprocess.run(['kill', name, str(worker)], check=True)
    assert {next(loader).item() for _ in range(20)} == {worker}
    process = next(child for child in multiprocessing.active_children() if child.pid == worker)
    os.kill(worker, signal.SIGTERM)
    process.join(20)
    assert process.exitcode == 0


def start_late(open_until_the_end) -> None:
    time.sleep(0.3)
    WorkerStart(None)(0)
    time.sleep(300)


def start_and_die(open_until_the_end) -> None:
    multiprocessing.Process(target=start_late, args=(open_until_the_end,)).start()
    os._exit(9)


def test_a_loader_worker_ends_with_a_training_that_was_killed_at_its_start():
    """It would hold what it inherited, such as the device of a template's training."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    multiprocessing.Process(target=start_and_die, args=(sender,)).start()
    sender.close()
    assert receiver.poll(60), 'it goes on'
    with pytest.raises(EOFError):
        receiver.recv()
