"""SIGTERM and SIGINT: finish the iteration, save, and leave with a status of its own."""

import os
import signal
import threading

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import EMAHook, Hook

from mmseg_custom.engine.hooks.checkpoint_hook import CheckpointHook
from mmseg_custom.registry import HOOKS

# EX_TEMPFAIL of sysexits.h: try again later.
EXIT_INTERRUPTED = 75
SIGNALS = (signal.SIGTERM, signal.SIGINT)
NOTICE = b'\nstopping after this iteration and a checkpoint\n'


class StopRequests:
    """Remember SIGTERM and SIGINT instead of dying of them, while used as a context.

    In one process a second SIGINT ends the run at once, as without this. Several processes may get
    a signal twice, from the terminal and from their launcher.

    Attributes:
        received: name of the signal; empty as long as there was none.
    """

    def __init__(self) -> None:
        self.received = ''
        self._before: dict = {}

    def __enter__(self) -> 'StopRequests':
        # Python lets only the main thread install handlers.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame) -> None:
        if self.received and number == signal.SIGINT and get_world_size() == 1:
            raise KeyboardInterrupt
        if not self.received and os.environ.get('RANK', '0') == '0':
            # print() may be what the signal interrupted.
            os.write(2, NOTICE)
        self.received = signal.Signals(number).name


@HOOKS.register_module()
class InterruptionHook(Hook):
    """Save a checkpoint and exit with status 75 once a process of the run was asked to stop.

    All processes stop after the same iteration. A validation is broken off in one process, whose
    checkpoint makes up for it when it is resumed; several processes finish it first.

    Our runner adds the hook to every training by itself.
    """

    # After CheckpointHook, which may have saved this iteration already.
    priority = 'LOWEST'

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Stop if any process was asked to."""
        asked = bool(runner.stop_requests.received)
        if get_world_size() > 1:
            flag = torch.tensor(int(asked))
            all_reduce(flag, op='max')
            asked = bool(flag.item())
        if asked:
            _stop(runner, runner.iter + 1)

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Stop at once in one process."""
        asked = getattr(runner, 'stop_requests', None)
        if asked is None or not asked.received or get_world_size() > 1:
            return
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                hook.after_val_epoch(runner)  # the weights of the training, not their average
        _stop(runner, runner.iter)


def _stop(runner, iterations: int) -> None:
    hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    name = runner.stop_requests.received or 'a signal to another process'
    saved = 'nothing saved: the config has no mmseg_custom.CheckpointHook'
    if hook is not None:
        saved = f'saved {hook.save_now(runner, iterations)}; continue with --resume'
    runner.logger.warning(f'stopped by {name} after iteration {iterations}: {saved}')
    raise SystemExit(EXIT_INTERRUPTED)
