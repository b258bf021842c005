"""Looking whether files can be written, before the work that they are to hold."""

import os
from pathlib import Path


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
        probe.unlink()
    except OSError as error:
        raise PermissionError(
            f'cannot write to the folder {folder} ({error.strerror}); choose another one with '
            f'{option}'
        ) from error
