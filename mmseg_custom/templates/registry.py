"""What is known of data sets, their versions and runs: a SQLite file that processes share."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock

from mmseg_custom.writing import check_writable

DEFAULT_ROOT = Path('work_dirs/segmenter')
FILE_NAME = 'registry.sqlite'
SECONDS_TO_WAIT = 30.0
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE datasets (
    name TEXT PRIMARY KEY, folder TEXT NOT NULL, created REAL NOT NULL
) STRICT;
CREATE TABLE versions (
    id TEXT, dataset TEXT REFERENCES datasets(name), created REAL NOT NULL,
    PRIMARY KEY (id, dataset)
) STRICT;
CREATE TABLE runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    app TEXT NOT NULL, model TEXT NOT NULL, template TEXT NOT NULL,
    dataset TEXT NOT NULL, version TEXT NOT NULL,
    device TEXT NOT NULL, iterations INTEGER NOT NULL,
    status TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', stop_asked INTEGER NOT NULL DEFAULT 0,
    turn INTEGER NOT NULL, queued REAL NOT NULL, started REAL, ended REAL,
    worker TEXT, trainer TEXT
) STRICT;
"""


class Registry:
    """The registry of one folder; every call opens the file by itself, so threads may share it.

    Args:
        root: folder, made where it is missing.

    Raises:
        PermissionError: the folder cannot be written to.
        ValueError: the file there is no registry, or one of a newer version of this package.
    """

    def __init__(self, root: str | os.PathLike = DEFAULT_ROOT) -> None:
        self.root = Path(root).expanduser().resolve()
        self.path = self.root / FILE_NAME
        check_writable(self.root, '--root')
        with FileLock(self.root / f'{FILE_NAME}.lock', timeout=SECONDS_TO_WAIT):
            self._prepare()

    def _prepare(self) -> None:
        with self._connection() as connection:
            (version,) = connection.execute('PRAGMA user_version').fetchone()
            if version == 0:
                connection.execute('PRAGMA journal_mode=WAL')
                connection.executescript(
                    f'BEGIN; {SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;'
                )
            elif version > SCHEMA_VERSION:
                raise ValueError(
                    f'{self.path} has the format {version}, this package reads up to '
                    f'{SCHEMA_VERSION}; update mmseg_custom, or choose another folder with --root'
                )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(
                sqlite3.connect(self.path, timeout=SECONDS_TO_WAIT, isolation_level=None)
            ) as connection:
                connection.row_factory = sqlite3.Row
                yield connection
        except sqlite3.OperationalError as error:
            raise OSError(f'{self.path}: {error}; is another program holding it?') from error
        except sqlite3.DatabaseError as error:
            raise ValueError(
                f'{self.path} cannot be read as a registry ({error}); move it away, or choose '
                'another folder with --root'
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Several statements at once, all or, where an error leaves the context, none.

        Nobody else writes meanwhile.
        """
        with self._connection() as connection:
            connection.execute('BEGIN IMMEDIATE')
            try:
                yield connection
            except BaseException:
                connection.execute('ROLLBACK')
                raise
            connection.execute('COMMIT')

    def rows(self, query: str, values: Sequence = ()) -> list[sqlite3.Row]:
        """The rows that a query finds."""
        with self._connection() as connection:
            return connection.execute(query, values).fetchall()

    def change(self, statement: str, values: Sequence = ()) -> int:
        """Run one statement that writes; return how many rows it changed."""
        with self._connection() as connection:
            return connection.execute(statement, values).rowcount
