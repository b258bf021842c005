"""The rows of runs: what is known of each, and what their processes write into them."""

import os
import re
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmseg_custom.messages import did_you_mean
from mmseg_custom.templates.processes import is_alive
from mmseg_custom.templates.registry import Registry

QUEUED, TRAINING, TRAINED, FAILED = (
    'MODEL-QUEUED',
    'MODEL-TRAINING',
    'MODEL-TRAINED',
    'MODEL-TRAINING-FAILED',
)
RUNS = 'runs'
# As engine/run_log.py has them, whose import takes seconds.
RUN_LOG, SUMMARY = 'log.jsonl', 'summary.json'
RUN_ID = re.compile(r'run-(\d+)')


@dataclass(frozen=True)
class Run:
    """A run as the registry has it; its processes may have ended since.

    Attributes:
        number: counts from 1 in each registry.
        app, model: names that it was started under.
        template, dataset, version: what is trained, on which version of which data set.
        device: ``cpu`` or ``cuda:N``.
        iterations: of the whole training.
        status: one of the four words.
        reason: why it failed, or waits although none of the registry is ahead of it.
        stop_asked: whether the user asked it to stop.
        turn: the lower, the sooner it gets the device.
        queued, started, ended: seconds since 1970, or None.
        worker, trainer: identities of its processes, or None.
        root: folder of the registry.
    """

    number: int
    app: str
    model: str
    template: str
    dataset: str
    version: str
    device: str
    iterations: int
    status: str
    reason: str
    stop_asked: bool
    turn: int
    queued: float
    started: float | None
    ended: float | None
    worker: str | None
    trainer: str | None
    root: Path

    @property
    def id(self) -> str:
        """Name for people, e.g. ``run-3``."""
        return f'run-{self.number}'

    @property
    def folder(self) -> Path:
        """Everything of this run."""
        return self.root / RUNS / self.id

    @property
    def params_file(self) -> Path:
        """The params, with the version that is trained on."""
        return self.folder / 'params.yaml'

    @property
    def config(self) -> Path:
        """The config that was composed of them."""
        return self.folder / 'config.py'

    @property
    def log(self) -> Path:
        """What worker and training print."""
        return self.folder / 'log.txt'

    @property
    def training(self) -> Path:
        """Work folder of ``tools/train.py``."""
        return self.folder / 'training'

    @property
    def training_log(self) -> Path:
        """What the training measures, a JSON object a line."""
        return self.training / RUN_LOG

    @property
    def came_to_its_end(self) -> bool:
        """Whether the training has summed itself up, which it does last."""
        return (self.training / SUMMARY).is_file()

    @property
    def is_alive(self) -> bool:
        """Whether one of its processes runs."""
        return is_alive(self.worker) or is_alive(self.trainer)


class Records:
    """Reads and writes the rows of runs.

    Args:
        root: folder of the registry.
    """

    def __init__(self, root: str | os.PathLike) -> None:
        self.registry = Registry(root)

    def list(self) -> list[Run]:
        """All runs, the newest first."""
        return self._runs('SELECT * FROM runs ORDER BY number DESC')

    def get(self, run_id: str, connection: sqlite3.Connection | None = None) -> Run:
        """Find a run by its id.

        Args:
            run_id: e.g. ``run-3``.
            connection: of a transaction.

        Raises:
            ValueError: there is none.
        """
        match = RUN_ID.fullmatch(str(run_id))
        query, values = 'SELECT * FROM runs WHERE number=?', (match and match[1],)
        rows = (
            connection.execute(query, values) if connection else self.registry.rows(query, values)
        )
        run = next((self._run(row) for row in rows), None)
        if run is None:
            known = [run.id for run in self.list()]
            hint = did_you_mean(str(run_id), known) or f'known: {", ".join(known) or "none yet"}'
            raise ValueError(f"there is no run '{run_id}' in {self.registry.root}; {hint}")
        return run

    def get_when_written(self, run_id: str) -> Run:
        """The same, after a transaction that is writing it."""
        with self.registry.transaction() as connection:
            return self.get(run_id, connection)

    def ahead_of(self, run: Run) -> Run | None:
        """The run that gets or has the device before this one."""
        others = self._runs(
            'SELECT * FROM runs WHERE device=? AND turn<? AND status IN (?, ?) ORDER BY turn',
            (run.device, run.turn, QUEUED, TRAINING),
        )
        return next((other for other in others if other.is_alive), None)

    def wait_because(self, run: Run, reason: str) -> None:
        """The worker waits for what is not in this registry."""
        self.registry.change('UPDATE runs SET reason=? WHERE number=?', (reason, run.number))

    def begin_training(self, run: Run, trainer: str | None) -> None:
        """The worker started its training."""
        self.registry.change(
            "UPDATE runs SET status=?, reason='', trainer=?, started=coalesce(started, ?) "
            'WHERE number=?',
            (TRAINING, trainer, time.time(), run.number),
        )

    def end(self, run: Run, status: str, reason: str = '') -> bool:
        """The run is over, unless it was resumed by others since ``run`` was read.

        Returns:
            Whether this was written.
        """
        return bool(
            self.registry.change(
                'UPDATE runs SET status=?, reason=?, ended=? '
                'WHERE number=? AND worker IS ? AND status IN (?, ?)',
                (status, reason, time.time(), run.number, run.worker, QUEUED, TRAINING),
            )
        )

    def ask_to_stop(self, run: Run) -> None:
        """Remember that the user wants it to stop."""
        self.registry.change('UPDATE runs SET stop_asked=1 WHERE number=?', (run.number,))

    def _runs(self, query: str, values: Sequence = ()) -> 'list[Run]':
        return [self._run(row) for row in self.registry.rows(query, values)]

    def _run(self, row: sqlite3.Row) -> Run:
        values = {**dict(row), 'stop_asked': bool(row['stop_asked'])}
        return Run(**values, root=self.registry.root)
