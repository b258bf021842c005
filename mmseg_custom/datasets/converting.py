"""Converting many files: in parallel, each once, going on where a killed run was.

``.converted.jsonl`` in the folder of the results says what each one was made from. A file that is
up to date is left alone; one whose sources or options changed is made again; one that something
else wrote is kept. Files appear whole or not at all.
"""

import hashlib
import json
import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from mmseg_custom.messages import import_extra
from mmseg_custom.parallel import process_pool, progress_bar, usable_cores
from mmseg_custom.writing import check_writable, write_atomically

LEDGER_NAME = '.converted.jsonl'
# What a damaged or wrong file raises; all else is a defect of ours.
FILE_ERRORS = (ValueError, OSError)


@dataclass(frozen=True)
class Job:
    """One conversion.

    Args:
        targets: the files that it writes.
        sources: the files that it reads.
        data: what else the result depends on; must be picklable.
    """

    targets: tuple[Path, ...]
    sources: tuple[Path, ...] = ()
    data: object = None


# Gives the contents of a job's targets in their order.
Convert = Callable[[Job], Sequence[bytes]]


@dataclass
class Conversion:
    """What a run did: numbers of jobs, and a line per job that failed."""

    written: int = 0
    unchanged: int = 0
    kept: list[Path] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Describe it, the files that failed last."""
        total = self.written + self.unchanged + len(self.kept) + len(self.failures)
        if self.unchanged == total:
            yield f'nothing to do: all {total} files are up to date'
            return
        counts = {'written': self.written, 'up to date': self.unchanged}
        counts.update(kept=len(self.kept), failed=len(self.failures))
        stated = ', '.join(f'{count} {name}' for name, count in counts.items() if count)
        yield f'{total} files: {stated}'
        if self.kept:
            yield (
                f'kept are files that something else wrote, such as {self.kept[0]}; --overwrite '
                'replaces them'
            )
        yield from (f'failed: {failure}' for failure in self.failures)


def convert_files(
    jobs: Sequence[Job],
    function: Convert,
    folder: str | Path,
    workers: int | None = None,
    overwrite: bool = False,
) -> Conversion:
    """Run the jobs that are not done yet.

    Args:
        jobs: what to convert.
        function: converts one; a function of a module or a ``partial`` of one, whose arguments
            are part of what a result depends on.
        folder: holds all targets.
        workers: processes; by default one per core.
        overwrite: convert all again, also where something else wrote a target.

    Returns:
        Counts, and the files that could not be converted.

    Raises:
        OSError: ``folder`` cannot be written to, or a process was killed.
        ValueError: there are no jobs, or two write the same file.
    """
    folder = Path(folder)
    if not jobs:
        raise ValueError(f'0 files to convert into {folder}; check the folders that were given')
    _check_targets(jobs)
    check_writable(folder, 'the output folder')
    ledger = Ledger(folder)
    result, todo = Conversion(), []
    for job in jobs:
        try:
            stamp = _stamp(job, function)
        except OSError as error:
            result.failures.append(f'{error.filename}: {error.strerror}')
            continue
        exist = [target.exists() for target in job.targets]
        known = ledger.stamps.get(ledger.key(job))
        if overwrite or (known != stamp and known is not None) or not all(exist):
            if known is None and any(exist) and not overwrite:
                result.kept.append(job.targets[exist.index(True)])
            else:
                todo.append((job, stamp))
        elif known is None:
            result.kept.append(job.targets[0])
        else:
            result.unchanged += 1
    if todo:
        ledger.plan(todo)
        with ledger.opened(), progress_bar(len(todo)) as advance:
            for job, stamp, failure in _run(todo, function, workers or usable_cores()):
                if failure is None:
                    ledger.add(job, stamp)
                    result.written += 1
                else:
                    result.failures.append(failure)
                advance(1)
    result.failures.sort()
    return result


class Ledger:
    """What the files of a folder were made from: ``stamps``, file below the folder -> hash.

    An empty hash stands for a file that a run set out to write, so that one which it wrote just
    before it was killed is known as ours.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / LEDGER_NAME
        self.stamps: dict[str, str] = {}
        lines = self.path.read_text(encoding='utf-8').splitlines() if self.path.exists() else []
        for line in lines:
            try:
                self.stamps.update([json.loads(line)])
            except ValueError:
                # The line that a killed run was writing.
                continue

    def key(self, job: Job) -> str:
        """Name a job by its first target."""
        return Path(os.path.relpath(job.targets[0], self.folder)).as_posix()

    def plan(self, todo: Sequence[tuple[Job, str]]) -> None:
        """Note what will be written."""
        self.stamps.update({self.key(job): '' for job, _ in todo})
        lines = (json.dumps(item, ensure_ascii=False) for item in self.stamps.items())
        write_atomically(self.path, ('\n'.join(lines) + '\n').encode())

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keep the file open for :meth:`add`."""
        with open(self.path, 'a', encoding='utf-8') as self.file:
            yield

    def add(self, job: Job, stamp: str) -> None:
        """Note that a job is done."""
        self.file.write(json.dumps((self.key(job), stamp), ensure_ascii=False) + '\n')
        self.file.flush()


def _check_targets(jobs: Sequence[Job]) -> None:
    seen = {}
    for job in jobs:
        for target in job.targets:
            if target in seen:
                raise ValueError(
                    f'{target} would be written from {_name(seen[target])} and {_name(job)}; '
                    'rename one of them'
                )
            seen[target] = job


def _name(job: Job) -> str:
    return str((job.sources or job.targets)[0])


def _stamp(job: Job, function: Convert) -> str:
    """Hash what a result depends on; files count by name, size and time of change."""
    stats = [(path.name, path.stat()) for path in job.sources]
    files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return hashlib.blake2b(pickle.dumps((function, files, job.data)), digest_size=16).hexdigest()


def _run(
    todo: Sequence[tuple[Job, str]], function: Convert, workers: int
) -> Iterator[tuple[Job, str, str | None]]:
    """Yield job, stamp and failure as they are done."""
    workers = min(workers, len(todo))
    if workers == 1:
        yield from ((job, stamp, _convert(function, job)) for job, stamp in todo)
        return
    with process_pool(workers, _leave_interrupts) as pool:
        try:
            futures = {pool.submit(_convert, function, job): (job, stamp) for job, stamp in todo}
            for future in as_completed(futures):
                yield *futures.pop(future), future.result()
        except BrokenProcessPool as error:
            raise OSError(
                'a worker was killed, perhaps for want of memory; the same command goes on where '
                f'it was, try --workers {max(1, workers // 2)}'
            ) from error
        except KeyboardInterrupt:
            raise SystemExit('stopped; the same command goes on where it was') from None
        finally:
            pool.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    # Ctrl+C is for the process that the user started.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _convert(function: Convert, job: Job) -> str | None:
    """Write the targets of a job; returns why it failed."""
    try:
        for target, content in zip(job.targets, function(job), strict=True):
            write_atomically(target, content)
    except FILE_ERRORS as error:
        text = ' '.join(str(error).split())
        return text if _name(job) in text else f'{_name(job)}: {text}'
    return None


def read_picture(path: Path, mode: str) -> np.ndarray:
    """Read a picture in a mode of Pillow: 'RGB' (H, W, 3) or 'L' and 'P' (H, W), uint8.

    'L' and 'P' are not converted to: a file of another mode is an error.

    Raises:
        OSError: it cannot be read.
        ValueError: it has another mode.
    """
    try:
        with Image.open(path) as picture:
            if mode == 'RGB':
                return np.array(picture.convert('RGB'))
            if picture.mode not in ('L', 'P'):
                raise ValueError(
                    f'{path} has the mode {picture.mode}; expected one 8-bit channel of indices'
                )
            return np.array(picture)
    except UnidentifiedImageError as error:
        raise ValueError(f'{path} is no picture, or damaged; get it again') from error
    except SyntaxError as error:
        raise ValueError(f'{path} is damaged ({error}); get it again') from error


def read_matlab(path: Path, *keys: str) -> np.ndarray:
    """Read a variable, or a field of a structure, of a MATLAB file.

    Raises:
        ModuleNotFoundError: scipy is not installed; the message is the line to run.
        ValueError: it is no such file, or has no such variable.
    """
    matlab = import_extra('scipy.io', 'data', 'reading MATLAB files')
    try:
        value = matlab.loadmat(path, squeeze_me=True, struct_as_record=True)
        for key in keys:
            value = value[key]
            value = value.item() if value.dtype == object and value.ndim == 0 else value
    except FileNotFoundError:
        raise
    # A damaged file makes scipy raise nearly anything.
    except Exception as error:
        raise ValueError(
            f'{path} is no MATLAB file with {".".join(keys)} ({type(error).__name__}: {error}); '
            'get it again'
        ) from error
    return np.asarray(value)


def look_up(raw: np.ndarray, table: dict[int, int], path: Path, expected: str) -> np.ndarray:
    """Replace label values.

    Args:
        raw: (H, W), whole numbers 0-65535.
        table: value -> new value, 0-255.
        path: of the file, for the message.
        expected: what the values should be, for the message.

    Returns:
        (H, W) uint8.

    Raises:
        ValueError: a value is not in the table.
    """
    raw = raw.astype(np.uint16)
    counts = np.bincount(raw.ravel())
    places = np.zeros(len(counts), np.uint8)
    for value in np.flatnonzero(counts).tolist():
        if value not in table:
            raise ValueError(
                f'{path} has the value {value} ({counts[value]} pixels); expected {expected}'
            )
        places[value] = table[value]
    return places[raw]


def encode_png(picture: np.ndarray) -> bytes:
    """Encode (H, W) or (H, W, 3) BGR, uint8, as PNG."""
    return cv2.imencode('.png', picture)[1].tobytes()


def write_list(path: Path, names: Sequence[str]) -> None:
    """Write one name per line, unless the file says so already."""
    content = ''.join(f'{name}\n' for name in names).encode()
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content)


def read_list(path: Path) -> list[str]:
    """Read one name per line.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'no list {path}; expected one name per line, unpack the archive of the data set again'
        )
    return path.read_text(encoding='utf-8').split()
