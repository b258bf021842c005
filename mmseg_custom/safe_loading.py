"""Reading checkpoints without ever running code that they hold."""

import os
import pickle
import re
from pathlib import Path
from urllib.parse import urlparse

import torch

WEIGHTS_FOLDER_VARIABLE = 'MMSEG_CUSTOM_WEIGHTS'


def load_local_checkpoint(filename: str | os.PathLike, map_location=None) -> dict:
    """Read a checkpoint file with ``torch.load(weights_only=True)``, whatever the environment says.

    Args:
        filename: path of a ``.pth`` file.
        map_location: as in :func:`torch.load`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a checkpoint, is truncated, or holds a pickle that needs more
            than tensors, numbers, strings and mmengine's log buffers.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        refused = re.search(r'GLOBAL (\S+)|global (\S+)|getattr\(.*?\)', str(error))
        if refused:
            raise ValueError(
                f'{path} was refused: its pickle asks for {refused[1] or refused[2] or refused[0]} '
                'and could run code; expected are tensors, numbers and strings only. If you trust '
                'the file, save its state_dict alone with torch.save first'
            ) from error
        raise ValueError(_unreadable(path, error)) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ValueError(_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return (
        f'{path} ({path.stat().st_size} bytes) is not a readable checkpoint: {reason}; expected a '
        'file written by torch.save. If it is truncated, copy or download it again'
    )


def load_http_checkpoint(url: str, map_location=None, **kwargs) -> dict:
    """Download a checkpoint to the cache folder once, then read it safely.

    A file of the same name in the folder that ``MMSEG_CUSTOM_WEIGHTS`` names is taken first.

    Raises:
        FileNotFoundError: the download failed; the message names the file and the folder to put it.
    """
    from mmengine.dist import get_dist_info

    name = Path(urlparse(url).path).name
    folder = os.environ.get(WEIGHTS_FOLDER_VARIABLE) or os.path.join(
        torch.hub.get_dir(), 'checkpoints'
    )
    path = Path(folder) / name
    rank, world_size = get_dist_info()
    if rank == 0 and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), progress=os.isatty(2))
        except OSError as error:
            raise FileNotFoundError(
                f'cannot download {url} ({error}); put the file at {path}, or train without it: '
                'tools/train.py CONFIG --from-scratch'
            ) from error
    if world_size > 1:
        torch.distributed.barrier()
    return load_local_checkpoint(path, map_location)
