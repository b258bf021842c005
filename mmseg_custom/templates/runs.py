"""Trainings in processes of their own: queue, look, stop, continue."""

import math
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mmseg_custom.templates import worker
from mmseg_custom.templates.datasets import Datasets
from mmseg_custom.templates.device_locks import device_of, lock_file
from mmseg_custom.templates.params_file import Params, dump_params
from mmseg_custom.templates.processes import identity, is_alive, pid_of, send
from mmseg_custom.templates.progress import progress
from mmseg_custom.templates.records import FAILED, QUEUED, TRAINED, TRAINING, Records, Run
from mmseg_custom.templates.registry import DEFAULT_ROOT
from mmseg_custom.templates.versions import DatasetVersion
from mmseg_custom.writing import write_atomically

POLL_SECONDS = 0.5
FINAL = (TRAINED, FAILED)
# Kept so that those that ended leave the table of processes.
_started: list[subprocess.Popen] = []


@dataclass(frozen=True)
class RunStatus:
    """How far a run is.

    Attributes:
        status: ``MODEL-QUEUED``, ``MODEL-TRAINING``, ``MODEL-TRAINED`` or
            ``MODEL-TRAINING-FAILED``.
        percent: of the iterations, 0 to 100.
        seconds_left: of a training, by the pace of its last log lines; else None.
        reason: why it waits or failed; else an empty string.
    """

    status: str
    percent: float
    seconds_left: float | None = None
    reason: str = ''

    @property
    def is_final(self) -> bool:
        """Whether it stays so by itself."""
        return self.status in FINAL

    def __str__(self) -> str:
        percent = f'  {self.percent:.0f} %' if self.status == TRAINING else ''
        left = ''
        if self.seconds_left is not None:
            minutes, seconds = divmod(round(self.seconds_left), 60)
            left = f'  {minutes}:{seconds:02} min left'
        return f'{self.status}{percent}{left}{self.reason and f"  {self.reason}"}'


@dataclass(frozen=True)
class Plan:
    """A training that was checked and not begun.

    Attributes:
        params: with the version's id.
        version: of the data set.
        config: the text of the composed config.
        device: ``cpu`` or ``cuda:N``.
        iterations: of the whole training.
    """

    params: Params
    version: DatasetVersion
    config: str
    device: str
    iterations: int


class Runs:
    """The runs of a registry.

    Args:
        root: folder of the registry, the data sets' versions and the runs.
    """

    def __init__(self, root: str | os.PathLike = DEFAULT_ROOT) -> None:
        self.records = Records(root)
        self.datasets = Datasets(root)

    def plan(self, params: Params) -> Plan:
        """Check everything that a training needs, and compose its config; nothing is started.

        Without ``dataset_version_id`` the data set is copied as it is at present.

        Raises:
            ValueError: params, data or weights do not fit.
            FileNotFoundError: data or weights are missing.
        """
        # Their import takes seconds.
        from mmseg_custom.templates.checking import check_before_queueing
        from mmseg_custom.templates.composing import compose

        fields = params.train_params
        if params.dataset_version_id:
            entry = self.datasets.get(params.dataset_id)
            version = self.datasets.find_version(entry.name, params.dataset_version_id)
            version.verify()
            facts = check_before_queueing(params, version.folder)
        else:
            entry = self.datasets.get_present(params.dataset_id)
            # Before anything is copied.
            facts = check_before_queueing(params, entry.folder)
            version = self.datasets.version(entry.name)
        named = params.updated(dataset_id=entry.name, dataset_version_id=version.id)
        text = compose(named, version.folder, facts.num_train)
        iterations = fields.num_epochs * math.ceil(facts.num_train / fields.batch_size)
        return Plan(named, version, text, device_of(fields.device), iterations)

    def queue(self, params: Params, app: str = 'default', model: str = 'segmenter') -> str:
        """Check everything, then let a process wait for the device and train.

        Args:
            params: what to train.
            app, model: names to find the run by.

        Returns:
            The run's id, e.g. ``run-3``.

        Raises:
            ValueError, OSError: as :meth:`plan`; nothing is started.
        """
        plan = self.plan(params)
        lock = lock_file(plan.device)
        with self.records.registry.transaction() as connection:
            cursor = connection.execute(
                'INSERT INTO runs (app, model, template, dataset, version, device, iterations, '
                'status, turn, queued) SELECT ?, ?, ?, ?, ?, ?, ?, ?, '
                'coalesce(max(turn), 0) + 1, ? FROM runs',
                (
                    *(app, model, params.template, plan.version.dataset, plan.version.id),
                    *(plan.device, plan.iterations, QUEUED, time.time()),
                ),
            )
            run = self.records.get(f'run-{cursor.lastrowid}', connection)
            with _new_folder(run):
                write_atomically(run.params_file, dump_params(plan.params).encode())
                write_atomically(run.config, plan.config.encode())
                self._start(run, connection, lock, resume=False)
        return run.id

    def _start(self, run: Run, connection: sqlite3.Connection, lock: Path, resume: bool) -> None:
        """Start the worker within the transaction that makes its row visible."""
        _started[:] = [process for process in _started if process.poll() is None]
        process = worker.start(run, lock, resume)
        _started.append(process)
        connection.execute(
            'UPDATE runs SET worker=? WHERE number=?', (identity(process.pid), run.number)
        )

    def list(self) -> list[Run]:
        """All runs, the newest first."""
        return self.records.list()

    def get(self, run_id: str) -> Run:
        """Find a run.

        Raises:
            ValueError: there is none of this id.
        """
        return self.records.get(run_id)

    def status(self, run_id: str) -> RunStatus:
        """How far a run is; one whose processes were killed is a failed one from then on.

        Raises:
            ValueError: there is no such run.
        """
        run = self._checked(run_id)
        if run.status == TRAINED:
            return RunStatus(TRAINED, 100.0)
        percent, seconds = progress(run.training_log, run.iterations)
        if run.status == FAILED:
            return RunStatus(FAILED, percent, None, run.reason)
        if run.status == QUEUED and run.stop_asked:
            return RunStatus(QUEUED, percent, None, 'stops before it begins')
        if run.status == QUEUED:
            ahead = self.records.ahead_of(run)
            doing = 'trains' if ahead and ahead.status == TRAINING else 'waits'
            waits = f'waits for {ahead.id}, which {doing} on {run.device}' if ahead else run.reason
            return RunStatus(QUEUED, percent, None, waits or 'starting')
        stopping = 'stops after this iteration and a checkpoint' if run.stop_asked else ''
        return RunStatus(TRAINING, percent, seconds, stopping)

    def _checked(self, run_id: str) -> Run:
        """The row, after a look whether the processes that it names are alive."""
        run = self.records.get(run_id)
        if run.status in FINAL or run.is_alive:
            return run
        if run.status == TRAINING and run.came_to_its_end:
            self.records.end(run, TRAINED)
        else:
            when = ' before the training began' if run.status == QUEUED else ''
            process = f'process {pid_of(run.worker)}' if run.worker else 'process'
            reason = f'its {process} was killed{when}, or the machine was restarted'
            self.records.end(run, FAILED, reason)
        return self.records.get(run_id)

    def wait(
        self,
        run_id: str,
        timeout: float | None = None,
        show: Callable[[str], None] | None = None,
        poll: float = POLL_SECONDS,
    ) -> RunStatus:
        """Wait until a run is trained or failed.

        Args:
            run_id: of the run.
            timeout: seconds; None waits for ever.
            show: gets a line whenever something of the status changes.
            poll: seconds between two looks.

        Raises:
            TimeoutError: it is still under way.
        """
        ends = math.inf if timeout is None else time.monotonic() + timeout
        shown = ''
        while True:
            status = self.status(run_id)
            if show is not None and str(status) != shown:
                shown = str(status)
                show(f'{run_id}  {shown}')
            if status.is_final:
                return status
            if time.monotonic() > ends:
                raise TimeoutError(f'{run_id} is not done after {timeout:g} s: {status}')
            time.sleep(poll)

    def logs(self, run_id: str, follow: bool = False) -> Iterator[str]:
        """Lines of what worker and training print.

        Args:
            run_id: of the run.
            follow: go on with lines as they are written, until the run ends.
        """
        run = self.records.get(run_id)
        with open(run.log, encoding='utf-8', errors='replace') as file:
            rest = ''
            while True:
                ended = not follow or self.status(run_id).is_final
                for line in file:
                    rest += line
                    if rest.endswith('\n'):
                        yield rest.rstrip('\n')
                        rest = ''
                if ended:
                    break
                time.sleep(POLL_SECONDS)
            if rest:
                yield rest

    def stop(self, run_id: str) -> RunStatus:
        """Ask a run to stop: after its iteration and a checkpoint, or before it begins.

        Raises:
            ValueError: it is over.
        """
        run = self._checked(run_id)
        if run.status in FINAL:
            raise ValueError(f'{run.id} is not under way: {run.status} {run.reason}'.strip())
        self.records.ask_to_stop(run)
        if not is_alive(run.worker) and run.trainer:
            send(run.trainer, signal.SIGTERM)
        return self.status(run_id)

    def resume(self, run_id: str) -> RunStatus:
        """Queue a failed or stopped run again; it goes on from its last whole checkpoint.

        Raises:
            ValueError: it is under way, or trained.
        """
        lock = lock_file(self._checked(run_id).device)
        with self.records.registry.transaction() as connection:
            run = self.records.get(run_id, connection)
            if run.status != FAILED or is_alive(run.trainer):
                what = 'is trained: begin a new run' if run.status == TRAINED else 'is under way'
                raise ValueError(f'{run.id} {what}; only failed and stopped runs are resumed')
            connection.execute(
                "UPDATE runs SET status=?, reason='', stop_asked=0, trainer=NULL, ended=NULL, "
                'queued=?, turn=(SELECT max(turn) + 1 FROM runs) WHERE number=?',
                (QUEUED, time.time(), run.number),
            )
            self._start(run, connection, lock, resume=True)
        return self.status(run_id)


@contextmanager
def _new_folder(run: Run) -> Iterator[None]:
    """Make the folder of a run; after an error nothing is left of it."""
    try:
        run.folder.mkdir(parents=True)
    except FileExistsError:
        raise FileExistsError(
            f'{run.folder} exists but is not in the registry {run.root}; move it away'
        ) from None
    try:
        yield
    except BaseException:
        shutil.rmtree(run.folder)
        raise
