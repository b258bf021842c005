"""Checkpoint files that are whole or not there at all, and finding the newest whole one.

A file is written under another name in its folder, synced to the disk and renamed. Its SHA-256 lies
beside it in ``<name>.sha256``, which ``sha256sum -c`` reads. mmengine writes in place, so a crash
while it saves leaves a broken file where the last checkpoint was.
"""

import hashlib
import re
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from mmseg_custom.checkpoints.reading import load_from_local
from mmseg_custom.writing import PARTIAL_SUFFIX, replace, write_atomically, write_partial

CHECKSUM_SUFFIX = '.sha256'
LAST_CHECKPOINT = 'last_checkpoint'
BACKEND = 'mmseg_custom.checkpoint'
_RESUMABLE = re.compile(r'(iter|epoch)_\d+\w*\.pth$')
_BEST = re.compile(r'best_.+_(iter|epoch)_\d+\.pth$')


def checksum_path(path: Path) -> Path:
    """Where the SHA-256 of a checkpoint lies."""
    return path.with_name(f'{path.name}{CHECKSUM_SUFFIX}')


def write_checkpoint(path: Path, content: bytes) -> None:
    """Write a checkpoint and its checksum so that a crash at any moment leaves a whole pair.

    Raises:
        OSError: it cannot be written; the message says what is left and what to do.
    """
    checksum = checksum_path(path)
    line = f'{hashlib.sha256(content).hexdigest()}  {path.name}\n'
    try:
        partial = write_partial(path, content)
        try:
            # Until the new file is in its place, both digests are right.
            before = checksum.read_text() if path.exists() and checksum.exists() else ''
            write_atomically(checksum, (before + line).encode())
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        replace(partial, path)
        if before:
            write_atomically(checksum, line.encode())
    except OSError as error:
        free = shutil.disk_usage(path.parent).free
        raise OSError(
            f'cannot save {path} ({error.strerror}): it takes {len(content) / 2**20:.1f} MiB, '
            f'{free / 2**20:.1f} MiB are free; the checkpoints before it are untouched: make room '
            'and continue with --resume'
        ) from error


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint, where it exists, and its checksum."""
    path.unlink(missing_ok=True)
    checksum_path(path).unlink(missing_ok=True)


def remove_run(work_dir: Path) -> list[str]:
    """Remove the checkpoints of the run in this folder, its best one too.

    Left there, they would be newer, or seem better, than the first ones of the run that begins.

    Returns:
        The names of the checkpoints.
    """
    found = [path for path in saved_checkpoints(work_dir) if path.parent == work_dir]
    found += sorted(path for path in work_dir.glob('*.pth') if _BEST.match(path.name))
    for path in found:
        remove_checkpoint(path)
    (work_dir / LAST_CHECKPOINT).unlink(missing_ok=True)
    return [path.name for path in found]


def remove_leftovers(folder: Path) -> list[str]:
    """Remove what a process that was killed while saving left behind; return the names."""
    partial = [*folder.glob(f'.*.pth{PARTIAL_SUFFIX}'), *folder.glob(f'.*.sha256{PARTIAL_SUFFIX}')]
    partial += folder.glob(f'.{LAST_CHECKPOINT}{PARTIAL_SUFFIX}')
    alone = [
        path
        for path in folder.glob(f'*.pth{CHECKSUM_SUFFIX}')
        if not path.with_name(path.name.removesuffix(CHECKSUM_SUFFIX)).exists()
    ]
    for path in (*partial, *alone):
        path.unlink()
    return sorted(path.name for path in (*partial, *alone))


def problem_of(path: Path) -> str | None:
    """Say in a few words why a checkpoint cannot be trusted; None where it is whole."""
    if not path.is_file():
        return 'it does not exist'
    if not path.stat().st_size:
        return 'the file is empty'
    checksum = checksum_path(path)
    if checksum.is_file():
        digests = {line.split()[0] for line in checksum.read_text().splitlines() if line.strip()}
        with open(path, 'rb') as file:
            digest = hashlib.file_digest(file, 'sha256').hexdigest()
        if digest in digests:
            return None
        return f'its SHA-256 is not the one in {checksum.name}: it is truncated or damaged'
    try:
        load_from_local(path, map_location='cpu')
    except ValueError as error:
        return str(error)
    return None


def saved_checkpoints(work_dir: Path) -> list[Path]:
    """Checkpoints of a work folder that a run could be resumed from, the newest first.

    Args:
        work_dir: of the run; where ``last_checkpoint`` names a file elsewhere, that folder is
            looked at.
    """
    record = work_dir / LAST_CHECKPOINT
    named = record.read_text().strip() if record.is_file() else ''
    last = Path(named) if named else None
    folder = work_dir
    if last is not None and not (work_dir / last.name).exists():
        folder = last.parent
    found = {path for path in folder.glob('*.pth') if _RESUMABLE.match(path.name)}
    if last is not None and not any(path.name == last.name for path in found):
        found.add(last)
    # Runs that count iterations and runs that count epochs may lie in one folder.
    kind = last.name.partition('_')[0] if last is not None else ''

    def age(path: Path) -> tuple:
        numbers = [int(number) for number in re.findall(r'\d+', path.name)]
        return path.name.partition('_')[0] == kind, numbers

    return sorted(found, key=age, reverse=True)


def newest_whole_checkpoint(work_dir: Path, report: Callable[[str], None]) -> Path | None:
    """Find the checkpoint to resume from.

    Args:
        work_dir: of the run.
        report: is told about each checkpoint that is skipped.

    Returns:
        None where there is no checkpoint.

    Raises:
        ValueError: there are checkpoints, but none is whole.
    """
    candidates = saved_checkpoints(work_dir)
    for path in candidates:
        problem = problem_of(path)
        if problem is None:
            return path
        report(f'skipping {path}: {problem}')
    if candidates:
        raise ValueError(
            f'none of the {len(candidates)} checkpoint(s) of {work_dir} is whole (newest: '
            f'{candidates[0].name}, {problem_of(candidates[0])}); start anew with --overwrite, or '
            'pass --resume PATH with a copy'
        )
    return None


class CheckpointWriter:
    """Writes and removes files in the order it is told to.

    Args:
        asynchronous: do it in a thread. What is written is copied already, so training goes on;
            the next :meth:`write` waits until the one before is done. An error is raised by the
            next call, and whatever was to follow is left out: no old file is removed then.
    """

    def __init__(self, asynchronous: bool = False) -> None:
        self._thread = ThreadPoolExecutor(1, 'checkpoint') if asynchronous else None
        self._pending: list[Future] = []
        self._failed = False

    def write(self, path: Path, content: bytes) -> None:
        """Write a checkpoint; see :func:`write_checkpoint`."""
        self.wait()
        self._do(write_checkpoint, path, content)

    def write_text(self, path: Path, text: str) -> None:
        """Write a small file."""
        self._do(write_atomically, path, text.encode())

    def remove(self, path: Path) -> None:
        """Remove a checkpoint and its checksum."""
        self._do(remove_checkpoint, path)

    def wait(self) -> None:
        """Return when everything is on the disk.

        Raises:
            OSError: something could not be written.
        """
        pending, self._pending = self._pending, []
        for future in pending:
            future.result()

    def _do(self, function: Callable, *arguments) -> None:
        if self._thread is None:
            function(*arguments)
        else:
            self._pending.append(self._thread.submit(self._unless_failed, function, *arguments))

    def _unless_failed(self, function: Callable, *arguments) -> None:
        if self._failed:
            return
        try:
            function(*arguments)
        except OSError:
            self._failed = True
            raise


# By folder: mmengine makes backends anew from arguments that have to be text.
_WRITERS: dict[str, CheckpointWriter] = {}


def open_writer(folder: str, asynchronous: bool = False) -> CheckpointWriter:
    """Make the writer that :class:`CheckpointBackend` uses for a folder."""
    _WRITERS[folder] = CheckpointWriter(asynchronous)
    return _WRITERS[folder]


class CheckpointBackend(LocalBackend):
    """mmengine's way to a local disk, through a :class:`CheckpointWriter`.

    Args:
        folder: that :func:`open_writer` was called with.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    @property
    def writer(self) -> CheckpointWriter:
        """The folder's present writer; a later run in this process may have opened a new one."""
        return _WRITERS[self.folder]

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a checkpoint."""
        self.writer.write(Path(filepath), obj)

    def isfile(self, filepath: str | Path) -> bool:
        """Whether there is such a file, also one that is being written."""
        self.writer.wait()
        return super().isfile(filepath)

    def remove(self, filepath: str | Path) -> None:
        """Remove a checkpoint and its checksum."""
        self.writer.remove(Path(filepath))


register_backend(BACKEND, CheckpointBackend, force=True)
