"""One training at a time on each device of this machine, whatever registry or user it is of."""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import TextIO

VARIABLE = 'MMSEG_CUSTOM_LOCKS'
CPU = 'cpu'
MOST_CHARACTERS = 1000
FOR_ALL_USERS, FOLDER_FOR_ALL_USERS = 0o666, 0o1777


def device_of(field: str) -> str:
    """The device that the field ``device`` of a params file means: ``cpu`` or ``cuda:N``."""
    # Its import takes seconds.
    import torch

    from mmseg_custom.engine.device import AUTO

    if field == CPU or (field == AUTO and not torch.cuda.is_available()):
        return CPU
    return f'cuda:{int(field.partition(":")[2] or 0)}'


def lock_file(device: str) -> Path:
    """The file that is locked by who trains on a device; made where it is missing.

    A GPU's file is named after its UUID, since ``CUDA_VISIBLE_DEVICES`` changes its number. The
    folder is ``MMSEG_CUSTOM_LOCKS``, by default one of this machine that all users share.

    Args:
        device: ``cpu`` or ``cuda:N``, as this process sees it.

    Raises:
        PermissionError: the folder or the file cannot be written to.
        ValueError: this machine has no such device.
    """
    given = os.environ.get(VARIABLE)
    folder = Path(given or Path(tempfile.gettempdir(), 'mmseg_custom_locks'))
    path = folder / f'{_name(device)}.lock'
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            if not given:
                folder.chmod(FOLDER_FOR_ALL_USERS)
        if not path.exists():
            path.touch()
            path.chmod(FOR_ALL_USERS)
        open_lock(path).close()
    except OSError as error:
        raise PermissionError(
            f'cannot lock {device} with {path} ({error.strerror}); set the environment variable '
            f'{VARIABLE} to a folder that whoever trains on this machine can write to'
        ) from error
    return path


def open_lock(path: Path) -> TextIO:
    """Open a file of :func:`lock_file` to read and write.

    Links are not followed: in a folder of all users somebody could let one lead to your files.
    """
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    return open(file, 'r+', encoding='utf-8', errors='replace')


def _name(device: str) -> str:
    if device == CPU:
        return CPU
    import torch

    from mmseg_custom.engine.device import check_device

    check_device(device)
    return f'gpu-{torch.cuda.get_device_properties(device).uuid}'


def try_to_lock(file: TextIO, holder: str) -> bool:
    """Lock a device until the last process that has its file open ends, however that ends.

    Args:
        file: of :func:`open_lock`.
        holder: who asks, for those who wait.

    Returns:
        Whether nobody else has it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    file.seek(0)
    file.truncate()
    file.write(holder)
    file.flush()
    return True


def holder_of(file: TextIO) -> str:
    """Who has locked a device, in words; others wrote them, so only what can be printed."""
    file.seek(0)
    written = ''.join(filter(str.isprintable, file.read(MOST_CHARACTERS)))
    return written or 'another training'
