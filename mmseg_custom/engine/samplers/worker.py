"""What a loader worker does about signals that are meant for the training process."""

import os
import signal
import threading
from collections.abc import Callable


class WorkerStart:
    """Start a loader worker: only its own training process may stop it.

    A terminal, Slurm and torchrun send their signals to a whole group of processes. A worker that
    obeyed would take the batch away that the training needs to finish its step and save.

    Args:
        then: the initialiser that was there before, or None.
    """

    def __init__(self, then: Callable[[int], None] | None) -> None:
        self.then = then

    def __call__(self, worker_id: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # The handler that the training installed came along with the fork.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if hasattr(signal, 'sigwaitinfo'):  # not on macOS
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            threading.Thread(target=_obey, args=(os.getppid(),), daemon=True).start()
        if self.then is not None:
            self.then(worker_id)


def _obey(parent: int) -> None:
    """Exit as soon as the parent, and nobody else, asks with SIGTERM."""
    while True:
        if signal.sigwaitinfo([signal.SIGTERM]).si_pid == parent:
            os._exit(0)
