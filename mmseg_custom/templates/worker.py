"""The process that waits for the device and then trains: ``ROOT RUN LOCK [--resume]``.

It is the parent of ``tools/train.py``, belongs to no terminal, and writes what became of the run
into the registry. It imports nothing heavy, since many may wait.
"""

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from mmseg_custom.templates.device_locks import holder_of, open_lock, try_to_lock
from mmseg_custom.templates.failures import STOPPED, explain
from mmseg_custom.templates.processes import identity
from mmseg_custom.templates.records import FAILED, TRAINED, Records, Run
from mmseg_custom.templates.tool_commands import tool_command
from mmseg_custom.templates.versions import VERSIONS, DatasetVersion

POLL_SECONDS = 0.3
# Of linux/prctl.h: the signal that a process gets when its parent dies.
PR_SET_PDEATHSIG = 1


def start(run: Run, lock: Path, resume: bool) -> subprocess.Popen:
    """Start a worker in a session of its own; ``lock`` is the file of its device."""
    words = [sys.executable, '-m', 'mmseg_custom.templates.worker', run.root, run.id, lock]
    with open(run.log, 'a') as output:
        return subprocess.Popen(
            [*words, '--resume'] if resume else words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class Worker:
    """Works through one run.

    Args:
        root: folder of the registry.
        run_id: of the run, whose row names this process as its worker.
        lock: file of its device.
    """

    def __init__(self, root: Path, run_id: str, lock: Path) -> None:
        self.records = Records(root)
        self.run = self.records.get_when_written(run_id)
        self.lock = lock
        self.got_signal = False

    def work(self, resume: bool) -> None:
        """Wait for the device, train, and write what became of it."""
        run = self.run
        try:
            with open_lock(self.lock) as lock:
                if not self._wait_for_turn(lock):
                    self.records.end(run, FAILED, f'{STOPPED} before it began')
                    return
                place = self.records.registry.root / VERSIONS / run.version
                DatasetVersion(run.version, run.dataset, place).verify()
                status = self._train(resume, lock.fileno())
        except (OSError, ValueError) as error:
            self.records.end(run, FAILED, ' '.join(str(error).split()))
            raise
        if status == 0:
            self.records.end(run, TRAINED)
        else:
            asked = self.records.get(run.id).stop_asked
            self.records.end(run, FAILED, explain(status, run.log, asked))

    def _is_asked_to_stop(self) -> bool:
        return self.got_signal or self.records.get(self.run.id).stop_asked

    def _wait_for_turn(self, lock: TextIO) -> bool:
        """Lock the device when no run of the registry before this one waits or trains.

        Returns:
            False where the run was stopped instead.
        """
        run, said = self.run, ''
        while not self._is_asked_to_stop():
            if self.records.ahead_of(run) is None:
                if try_to_lock(lock, f'{run.id} of the registry {run.root}'):
                    return True
                reason = f'waits for {holder_of(lock)}, which has {run.device}'
                if reason != said:
                    self.records.wait_because(run, reason)
                    said = reason
            time.sleep(POLL_SECONDS)
        return False

    def _train(self, resume: bool, lock: int) -> int:
        """Run ``tools/train.py``; return its exit status."""
        run = self.run
        words = [*tool_command('train'), str(run.config), '--work-dir', str(run.training)]
        process = subprocess.Popen(
            [*words, '--resume'] if resume else words,
            env={**os.environ, 'PYTHONUNBUFFERED': '1'},
            stdin=subprocess.DEVNULL,
            pass_fds=[lock],
            preexec_fn=_stop_with(os.getpid()),
        )
        self.records.begin_training(run, identity(process.pid))
        told = False
        while True:
            try:
                return process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if not told and self._is_asked_to_stop():
                    process.send_signal(signal.SIGTERM)
                    told = True


def _stop_with(parent: int) -> Callable[[], None] | None:
    """What a child does before it begins, so that it saves and stops when its parent dies."""
    if sys.platform != 'linux':
        return None
    library = ctypes.CDLL(None)

    def ask() -> None:
        library.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return ask


def main(argv: list[str] | None = None) -> None:
    """Work as the command line says."""
    parser = argparse.ArgumentParser(description='Train one run of the registry.')
    parser.add_argument('root', type=Path)
    parser.add_argument('run')
    parser.add_argument('lock', type=Path)
    parser.add_argument('--resume', action='store_true')
    args = parser.parse_args(argv)
    worker = Worker(args.root, args.run, args.lock)

    def remember(*_) -> None:
        worker.got_signal = True

    signal.signal(signal.SIGTERM, remember)
    worker.work(args.resume)


if __name__ == '__main__':
    main()
