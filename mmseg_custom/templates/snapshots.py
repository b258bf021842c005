"""Copies of files that later changes of the originals do not reach, and their SHA-256."""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Of linux/fs.h: share the blocks of another file until one of the two is written to.
FICLONE = 0x40049409
READ_ONLY = 0o444
Files = list[dict]


def describe_files(folder: Path, paths: Iterable[str]) -> Files:
    """Size and SHA-256 of files.

    Args:
        folder: that the paths are relative to.
        paths: with ``/``.

    Returns:
        ``dict(path=..., size=bytes, sha256=hex)`` of each, sorted by path.
    """
    ordered = sorted(paths)
    with ThreadPoolExecutor() as threads:
        return [*threads.map(lambda path: _describe(folder, path), ordered)]


def _describe(folder: Path, path: str) -> dict:
    with open(folder / path, 'rb') as file:
        digest = hashlib.file_digest(file, 'sha256').hexdigest()
        return {'path': path, 'size': file.tell(), 'sha256': digest}


def copy_files(source: Path, files: Files, target: Path, copies: Mapping[str, Path]) -> None:
    """Copy files read-only, sharing disk blocks where the file system can.

    The originals are never hard-linked: a program that writes into one in place would change the
    copy, too.

    Args:
        source: folder of the originals.
        files: of :func:`describe_files`.
        target: folder of the copies.
        copies: earlier copies by SHA-256, which are hard-linked where they are whole.

    Raises:
        ValueError: an original changed since it was described.
        OSError: the disk is too small; the message says how much is needed.
    """
    free = shutil.disk_usage(target).free
    needed = sum(file['size'] for file in files if file['sha256'] not in copies)
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f'the copy takes {needed / 2**20:.1f} MiB but {free / 2**20:.1f} MiB are free; make '
            'room or choose another disk with --root',
            str(target),
        )
    for file in files:
        place = target / file['path']
        place.parent.mkdir(parents=True, exist_ok=True)
        earlier = copies.get(file['sha256'])
        if earlier is None or not _linked(earlier, place, file['sha256']):
            _copy(source / file['path'], place)
    changed = differences(target, files)
    if changed:
        raise ValueError(f'{source} is being changed: {changed[0]}; try again when that is done')


def _linked(earlier: Path, place: Path, digest: str) -> bool:
    try:
        if _describe(earlier.parent, earlier.name)['sha256'] != digest:
            return False
        os.link(earlier, place)
    except OSError:  # it is gone, or the disk has no hard links: the original is copied
        return False
    return True


def _copy(source: Path, place: Path) -> None:
    with open(source, 'rb') as original, open(place, 'wb') as copy:
        if not _share_blocks(original.fileno(), copy.fileno()):
            shutil.copyfileobj(original, copy, 2**20)
    place.chmod(READ_ONLY)


def _share_blocks(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError:  # another file system, or one that cannot
        return False
    return True


def differences(folder: Path, files: Files) -> list[str]:
    """What of a folder is not as it was described, a few words for each file: none if all is well.

    Args:
        folder: that should hold these files and no others.
        files: of :func:`describe_files`.
    """
    there = {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()}
    named = {file['path']: file for file in files}
    present = {file['path']: file for file in describe_files(folder, there & set(named))}
    return [
        *(f'{path} is missing' for path in sorted(set(named) - there)),
        *(f'{path} was added' for path in sorted(there - set(named))),
        *(f'{path} was changed' for path in sorted(present) if present[path] != named[path]),
    ]
