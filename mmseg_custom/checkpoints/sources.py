"""From what a user names to a path."""

import os
from pathlib import Path

from mmseg_custom.checkpoints.download import local_copy


def resolve(source: str | os.PathLike) -> Path:
    """Return the local path of a checkpoint file or folder; a link is downloaded.

    Raises:
        FileNotFoundError: there is no such file or folder, or the download failed.
    """
    if str(source).startswith(('http://', 'https://')):
        return local_copy(str(source))
    path = Path(source).expanduser()
    if not path.exists():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    return path
