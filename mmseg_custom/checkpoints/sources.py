"""From what a config or a command line calls weights to a file or folder on this machine."""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import urlparse

from mmengine.dist import get_dist_info
from mmengine.logging import print_log

from mmseg_custom.checkpoints.download import DownloadError, download
from mmseg_custom.checkpoints.published import PUBLISHED, Licence, Published, find
from mmseg_custom.messages import did_you_mean

WEIGHTS_FOLDER_VARIABLE = 'MMSEG_CUSTOM_WEIGHTS'
URL_PREFIXES = ('http://', 'https://')
HUGGING_FACE_PREFIX = 'hf://'
HUGGING_FACE = 'https://huggingface.co'
# Of a repository at Hugging Face, in the order in which they are looked for.
HUGGING_FACE_WEIGHTS = ('model.safetensors', 'pytorch_model.bin')
WITHOUT_WEIGHTS = 'train without it: tools/train.py CONFIG --from-scratch'
SUFFIXES = ('.pth', '.pt', '.bin', '.safetensors', '.npz', '.tar', '.ckpt', '.pkl')
# The first digits of the file's SHA-256.
HASH_IN_NAME = re.compile(r'-([0-9a-f]{8,64})\.\w+$')
# Of the folder of a download whose name does not tell it from others.
ADDRESS_DIGITS = 8


def resolve(source: str | os.PathLike, otherwise: str = WITHOUT_WEIGHTS) -> Path:
    """Return the file or folder that holds the weights called ``source``, downloaded if need be.

    Args:
        source: a name of :data:`~mmseg_custom.checkpoints.published.PUBLISHED`, the address of a
            file, ``hf://owner/name`` for a repository at Hugging Face, or a path. A published name
            always means the published weights; write ``./mit_b2`` for a file of that name.
        otherwise: what to do without weights that cannot be downloaded, for the message.

    Returns:
        A path that exists. It is a folder for a repository at Hugging Face.

    Raises:
        FileNotFoundError: there is no such file, or the download failed: the message says which
            file to put where. Where several processes run, every one of them raises it.
        ValueError: ``source`` is neither a path nor a known name; the nearest names are offered.
    """
    text = os.fspath(source)
    entry = find(text) or _unpublished(text)
    if entry is not None:
        return _fetch_once_per_machine(entry, otherwise)
    path = Path(text).expanduser()
    if path.exists():
        return path
    is_file = path.suffix in SUFFIXES
    name, cutoff = (path.stem, 0.8) if is_file else (text, 0.5)
    hint = did_you_mean(name.lower(), {known.lower(): known for known in PUBLISHED}, 3, cutoff)
    if is_file or (len(path.parts) > 1 and not hint):
        raise FileNotFoundError(f'checkpoint {path} does not exist{hint and f"; {hint}"}')
    raise ValueError(
        f"'{text}' is neither a file, a folder nor the name of published weights; "
        f'{hint or "docs/model_zoo.md lists the names"}'
    )


def weights_folder() -> Path:
    """The folder that downloads go to: that of ``MMSEG_CUSTOM_WEIGHTS``, or PyTorch's cache."""
    import torch

    named = os.environ.get(WEIGHTS_FOLDER_VARIABLE)
    return Path(named).expanduser() if named else Path(torch.hub.get_dir(), 'checkpoints')


def _unpublished(text: str) -> Published | None:
    """An entry for an address or a repository that is not in the table; None for anything else."""
    unknown = Licence('unknown', text)
    if text.startswith(URL_PREFIXES):
        hash_prefix = HASH_IN_NAME.search(urlparse(text).path)
        sha256 = hash_prefix[1] if hash_prefix else ''
        file = Published(
            text,
            *('a file', 'unknown', unknown),
            urls=(text,),
            sha256=sha256,
            subfolder='' if sha256 else _short_hash(text),
        )
        if file.file_name in ('', '.', '..'):
            raise ValueError(
                f'{text} names no file; expected an address such as https://host/x.pth'
            )
        return file
    if text.startswith(HUGGING_FACE_PREFIX):
        name = text.removeprefix(HUGGING_FACE_PREFIX).strip('/')
        if not re.fullmatch(r'[\w.-]+/[\w.-]+', name) or '..' in name:
            raise ValueError(f"'{text}' names no repository; expected hf://owner/name")
        return Published(text, 'a repository', 'unknown', unknown, hugging_face=name)
    return None


def _short_hash(address: str) -> str:
    """Keeps files of one name and different addresses apart, with room for what lies beside."""
    return hashlib.sha256(address.encode()).hexdigest()[:ADDRESS_DIGITS]


def _fetch_once_per_machine(entry: Published, otherwise: str) -> Path:
    folder = weights_folder()
    entries = [entry, *([PUBLISHED[entry.same_as]] if entry.same_as else [])]
    rank, world_size = get_dist_info()
    # The processes of another machine may not see this one's disk.
    downloads = world_size == 1 or int(os.environ.get('LOCAL_RANK', rank)) == 0
    problem = None
    if downloads and _present(entries, folder) is None:
        problem = _download_first(entries, folder)
    if world_size > 1:
        import torch

        torch.distributed.barrier()
    path = _present(entries, folder)
    if path is None:
        reason = problem or 'see the message of the first process of this machine'
        raise FileNotFoundError(
            f'cannot download {entry.name} ({reason}); put {_wanted(entry, folder)}, or {otherwise}'
        )
    return path


def _present(entries: list[Published], folder: Path) -> Path | None:
    """Where the first of the entries lies; a repository is complete when its weights are there."""
    for entry in entries:
        path = folder / entry.cache_path
        if not entry.hugging_face:
            files = (path,)
        else:
            files = tuple(path / name for name in HUGGING_FACE_WEIGHTS)
        if any(file.is_file() for file in files):
            return path
    return None


def _wanted(entry: Published, folder: Path) -> str:
    path = folder / entry.cache_path
    if not entry.hugging_face:
        return f'the file at {path}'
    return f'its config.json and {" or ".join(HUGGING_FACE_WEIGHTS)} into {path}'


def _download_first(entries: list[Published], folder: Path) -> str | None:
    """Download the first entry that can be had, and return what went wrong if none can.

    Raising here would leave the other processes waiting.
    """
    problems = []
    for entry in entries:
        size = f' (about {entry.megabytes} MB)' if entry.megabytes else ''
        print_log(f'downloading {entry.name}{size} to {folder / entry.cache_path}', 'current')
        try:
            if entry.hugging_face:
                _download_repository(entry.hugging_face, folder / entry.cache_path)
            else:
                download(entry.urls, folder / entry.cache_path, entry.sha256)
        except DownloadError as error:
            problems.append(str(error))
            if error.is_local:
                break
        else:
            return None
    return '; '.join(problems)


def _download_repository(name: str, folder: Path) -> None:
    """Download configuration and weights of a repository at Hugging Face, the weights last.

    Raises:
        DownloadError: one of them cannot be had.
    """
    if os.environ.get('HF_HUB_OFFLINE', '').upper() in ('1', 'ON', 'YES', 'TRUE'):
        raise DownloadError(f'{name}: HF_HUB_OFFLINE is set')
    endpoint = os.environ.get('HF_ENDPOINT', HUGGING_FACE).rstrip('/')

    def get(file: str) -> None:
        download([f'{endpoint}/{name}/resolve/main/{file}'], folder / file)

    get('config.json')
    try:
        get('preprocessor_config.json')
    except DownloadError as error:
        if not error.not_found:
            raise
    for number, file in enumerate(HUGGING_FACE_WEIGHTS):
        try:
            get(file)
            return
        except DownloadError as error:
            if not error.not_found or number + 1 == len(HUGGING_FACE_WEIGHTS):
                raise
