"""What a loader worker does at its start: about signals, and about memory."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable

from mmseg_custom.host_memory import keep_freed_memory

SECONDS_BETWEEN_LOOKS = 2.0


class WorkerStart:
    """Start a loader worker: only its own training process may stop it, and it keeps its memory.

    A terminal, Slurm and torchrun send their signals to a whole group of processes. A worker that
    obeyed would take the batch away that the training needs to finish its step and save.

    A decoded picture is a new piece of memory each time; from the system it costs as much as the
    decoding.

    Args:
        then: the initialiser that was there before, or None.
    """

    def __init__(self, then: Callable[[int], None] | None) -> None:
        self.then = then

    def __call__(self, worker_id: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # The handler that the training installed came along with the fork.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if hasattr(signal, 'sigtimedwait'):  # not on macOS
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            threading.Thread(target=_obey, args=(os.getppid(),), daemon=True).start()
        keep_freed_memory(in_worker=True)
        if self.then is not None:
            self.then(worker_id)


def _obey(parent: int) -> None:
    """Exit as soon as the parent, and nobody else, asks with SIGTERM, or is gone.

    PyTorch's own watchdog takes its parent for alive where that was killed right after the fork.
    """
    training = multiprocessing.parent_process()
    while training is None or training.is_alive():
        asked = signal.sigtimedwait([signal.SIGTERM], SECONDS_BETWEEN_LOOKS)
        if asked is not None and asked.si_pid == parent:
            break
    os._exit(0)
