"""Downloading checkpoints once per machine."""

import os
import re
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlparse

import torch

WEIGHTS_FOLDER_VARIABLE = 'MMSEG_CUSTOM_WEIGHTS'
# The first digits of the file's SHA-256.
HASH_IN_NAME = re.compile(r'-([0-9a-f]{8,64})\.\w+$')


def local_copy(url: str) -> Path:
    """Download a file to the cache folder once per machine, and return its path there.

    A file of the same name in the folder that ``MMSEG_CUSTOM_WEIGHTS`` names is taken first. Where
    the name ends in a hash, as OpenMMLab's do (``-7e0fe6dd.pth``), a download must have it.

    Raises:
        FileNotFoundError: the download failed; the message names the file and the folder to put it.
            Every process raises it.
    """
    from mmengine.dist import get_dist_info

    name = Path(urlparse(url).path).name
    folder = os.environ.get(WEIGHTS_FOLDER_VARIABLE) or os.path.join(
        torch.hub.get_dir(), 'checkpoints'
    )
    path = Path(folder) / name
    rank, world_size = get_dist_info()
    # The processes of another machine may not see this one's disk.
    downloads = world_size == 1 or int(os.environ.get('LOCAL_RANK', rank)) == 0
    problem = None
    if downloads and not path.is_file():
        problem = _download(url, path)
    if world_size > 1:
        torch.distributed.barrier()
    if not path.is_file():
        reason = problem or 'see the message of the first process of this machine'
        raise FileNotFoundError(
            f'cannot download {url} ({reason}); put the file at {path}, or train without it: '
            'tools/train.py CONFIG --from-scratch'
        )
    return path


def _download(url: str, path: Path) -> str | None:
    """Write the file at once or not at all, and return what went wrong.

    Raising here would leave the other processes waiting.
    """
    hash_prefix = HASH_IN_NAME.search(path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            url, str(path), hash_prefix[1] if hash_prefix else None, progress=os.isatty(2)
        )
    # torch raises RuntimeError for another hash.
    except (OSError, RuntimeError, HTTPException) as error:
        return ' '.join(str(error).split()) or type(error).__name__
    return None
