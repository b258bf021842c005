"""Writing checkpoints: whole or not at all."""

import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mmseg_custom.checkpoints.formats.description import Weights
from mmseg_custom.checkpoints.formats.openmmlab import CONFIG_TEXT_KEY, DESCRIPTION_KEY
from mmseg_custom.writing import write_atomically

SUFFIXES = ('.pth', '.safetensors')


def meta_of(weights: Weights) -> dict:
    """Return what a file of ours says beside the parameters: classes, colours, description.

    Everything in it is a number, a string, or a list or dict of them.
    """
    description = weights.description
    meta = {DESCRIPTION_KEY: description.as_dict()}
    if description.classes:
        meta['dataset_meta'] = {'classes': list(description.classes)}
        if description.palette:
            meta['dataset_meta']['palette'] = [list(colour) for colour in description.palette]
    # OpenMMLab's and our runs keep the text of their config.
    if isinstance(weights.meta.get('cfg'), str):
        meta['cfg'] = weights.meta['cfg']
    # mmengine runs `config`, as mmseg 0.x calls it, as Python when a run is resumed.
    text = weights.meta.get('config', weights.meta.get(CONFIG_TEXT_KEY))
    if isinstance(text, str):
        meta[CONFIG_TEXT_KEY] = text
    return meta


def serialise(state_dict: Mapping[str, Tensor], meta: Mapping, suffix: str) -> bytes:
    """Return the bytes of a file of that kind.

    Raises:
        ValueError: the suffix is neither ``.pth`` nor ``.safetensors``.
    """
    check_suffix(suffix)
    tensors = {name: value.detach().cpu().contiguous() for name, value in state_dict.items()}
    if suffix == '.safetensors':
        from safetensors.torch import save

        # safetensors refuses tensors that share memory, and writes several keys in any order.
        tensors = {name: value.clone() for name, value in tensors.items()}
        return save(tensors, {'meta': json.dumps(meta)})
    buffer = io.BytesIO()
    torch.save({'state_dict': tensors, 'meta': json.loads(json.dumps(meta))}, buffer)
    return buffer.getvalue()


def check_suffix(suffix: str) -> None:
    """Raise ``ValueError`` for a suffix that is not written here."""
    if suffix not in SUFFIXES:
        raise ValueError(f"cannot write a '{suffix}' file; expected {' or '.join(SUFFIXES)}")


def write_file(path: Path, content: bytes) -> None:
    """Write a file at once; where that fails nothing is left of it.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise OSError(_cannot_write(path, error)) from error


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a new folder at once; where that fails nothing is left of it.

    Raises:
        FileExistsError: the folder exists and holds something.
        OSError: it cannot be written, or the disk is full.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f'{folder} exists already; name a new folder, or remove it first')
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f'.{folder.name}.', dir=folder.parent))
    try:
        part.chmod(0o755)
        for name, content in files.items():
            (part / name).write_bytes(content)
        os.replace(part, folder)
    except OSError as error:
        raise OSError(_cannot_write(folder, error)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _cannot_write(path: Path, error: OSError) -> str:
    return (
        f'cannot write {path}: {error.strerror or error}; make room or name another place; nothing '
        'was left there'
    )
