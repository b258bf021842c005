"""Files that are whole or not there at all, and looking early whether they can be written."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL_SUFFIX = '.partial'


def check_writable(folder: str | os.PathLike, option: str) -> None:
    """Make the folder if it is missing, and try to write into it.

    Args:
        folder: where files will be written.
        option: of the command line that names another folder, for the message.

    Raises:
        PermissionError: the folder cannot be made or written to.
    """
    folder = Path(folder)
    probe = folder / f'.write_test_{os.getpid()}'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink(missing_ok=True)  # another thread had it, too
    except OSError as error:
        raise PermissionError(
            f'cannot write to the folder {folder} ({error.strerror}); choose another one with '
            f'{option}'
        ) from error


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Write a file so that it appears whole when the block ends, and not at all after an error.

    Several processes may write the same file. For one that has to outlast a loss of power, see
    :func:`write_atomically`.

    Args:
        path: of the file; its folder is made.

    Yields:
        Another name in that folder, with the same suffix, to write to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.stem}.{os.getpid()}{PARTIAL_SUFFIX}{path.suffix}')
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file: after a crash at any moment it holds the old content or the new one.

    Raises:
        OSError: it cannot be written, e.g. because the disk is full; the old file is untouched.
    """
    replace(write_partial(path, content), path)


def write_partial(path: Path, content: bytes) -> Path:
    """Write content, synced to the disk, under another name in the folder of ``path``.

    Returns:
        That name, for :func:`replace`.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}{PARTIAL_SUFFIX}')
    try:
        with open(partial, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    return partial


def replace(partial: Path, path: Path) -> None:
    """Rename a file that is on the disk, and sync its folder."""
    os.replace(partial, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        # Some network disks cannot sync a folder.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(folder)
