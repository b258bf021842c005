"""Reading checkpoints of every container without ever running code that they hold.

``.pth`` and ``.bin`` files of torch, ``.safetensors``, numpy's ``.npz``, and folders as Hugging
Face and rstrudel's Segmenter write them. The container is recognised from the content, not the
name.
"""

import importlib
import json
import os
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch

from mmseg_custom.checkpoints.sources import resolve

ALLOWED_GLOBALS_VARIABLE = 'MMSEG_CUSTOM_ALLOW_GLOBALS'
# What a folder's weights are called, best first.
WEIGHT_FILES = ('model.safetensors', 'pytorch_model.bin', 'checkpoint.pth')
# Small files beside the weights that say what the tensors cannot.
SIDE_FILES = {
    'config': 'config.json',
    'preprocessor': 'preprocessor_config.json',
    'variant': 'variant.yml',
}
# What torch, numpy, zipfile and zlib raise for bytes that are damaged or cut off anywhere.
_DAMAGED = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError),
    *(RuntimeError, SyntaxError, TypeError, ValueError),
    *(pickle.UnpicklingError, struct.error, zipfile.BadZipFile, zlib.error),
)


@dataclass
class RawCheckpoint:
    """What a file or folder holds, in its own names.

    Attributes:
        path: the file or folder.
        content: everything that the file holds.
        tensors: the parameters by name, without ``module.`` from data parallel training.
        metadata: ``meta`` of the file; ``config`` and ``preprocessor`` from Hugging Face's
            JSON files and ``variant`` from rstrudel's ``variant.yml``, where they lie beside.
    """

    path: Path
    content: dict
    tensors: dict[str, torch.Tensor]
    metadata: dict = field(default_factory=dict)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names to shapes of all tensors."""
        return {
            name: tuple(value.shape)
            for name, value in self.tensors.items()
            if isinstance(value, torch.Tensor)
        }


def read(path: str | os.PathLike) -> RawCheckpoint:
    """Read a checkpoint file, or a folder with one, and the small files that belong to it.

    Args:
        path: path, link or name of published weights.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: it cannot be read, could run code, or holds no parameters.
    """
    path = resolve(path)
    file = _weights_in(path) if path.is_dir() else path
    content = load_from_local(file, 'cpu')
    state_dict = state_dict_of(content, str(path))
    tensors = {str(key).removeprefix('module.'): value for key, value in state_dict.items()}
    if not any(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise ValueError(f'{path} holds no parameters; expected tensors by name')
    meta = content.get('meta')
    metadata = {'meta': meta if isinstance(meta, Mapping) else {}}
    for key, name in SIDE_FILES.items():
        if (file.parent / name).is_file():
            metadata[key] = _read_side_file(file.parent / name)
    return RawCheckpoint(path, content, tensors, metadata)


def _weights_in(folder: Path) -> Path:
    found = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if found is not None:
        return found
    if any(folder.glob('*.index.json')):
        raise ValueError(
            f'{folder} holds weights in several parts, which SegFormer never needs; save the model '
            "once more with save_pretrained(folder, max_shard_size='50GB')"
        )
    raise ValueError(
        f'folder {folder} holds no weights; expected {", ".join(WEIGHT_FILES[:-1])} of Hugging '
        f"Face or {WEIGHT_FILES[-1]} of rstrudel's Segmenter"
    )


def _read_side_file(path: Path) -> dict:
    try:
        text = path.read_text(encoding='utf-8')
        content = json.loads(text) if path.suffix == '.json' else _parse_yaml(text)
    except (ValueError, OSError, TypeError) as error:
        reason = ' '.join(str(error).split())
        raise ValueError(f'{path} cannot be read: {reason}; copy or download it again') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds a {type(content).__name__}, expected names and values')
    return content


def _parse_yaml(text: str):
    """Parse YAML that may hold Python tuples, as ``yaml.dump`` writes them, and nothing else."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor(
        'tag:yaml.org,2002:python/tuple',
        lambda loader, node: tuple(loader.construct_sequence(node)),
    )
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def load_from_local(filename: str | os.PathLike, map_location=None) -> dict:
    """Read a checkpoint file; of a pickle only tensors, numbers, strings and log buffers.

    Args:
        filename: path, link or name of a ``.pth``, ``.bin``, ``.safetensors`` or ``.npz`` file.
        map_location: as in :func:`torch.load`.

    Returns:
        What the file holds; for containers other than torch's a dict with ``state_dict`` and
        ``meta``.

    Raises:
        FileNotFoundError: there is no such file, or it cannot be downloaded.
        ValueError: the file is not a checkpoint, is truncated, or holds a pickle that needs more
            than tensors, numbers, strings and mmengine's log buffers.
    """
    path = resolve(filename)
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} is a folder, expected a file')
    container = _container(path)
    if container == 'safetensors':
        return _read_safetensors(path, map_location)
    if container == 'npz':
        return _read_npz(path)
    return _read_torch(path, map_location)


def load_from_http(url: str, map_location=None, **kwargs) -> dict:
    """Read a checkpoint that :func:`~mmseg_custom.checkpoints.sources.resolve` downloads."""
    return load_from_local(url, map_location)


def _container(path: Path) -> str:
    with open(path, 'rb') as file:
        start = file.read(9)
    if start.startswith(b'PK'):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except _DAMAGED as error:
            raise ValueError(_unreadable(path, str(error))) from error
        return 'npz' if any(name.endswith('.npy') for name in names) else 'torch'
    header = int.from_bytes(start[:8], 'little')
    if start[8:9] == b'{' and 2 <= header < 100_000_000:
        return 'safetensors'
    return 'torch'


def _read_torch(path: Path, map_location) -> dict:
    allowed = _additional_globals()
    try:
        # Opened here: torch.load would take a path's suffix for what the file is.
        with allowed, open(path, 'rb') as file:
            return torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = _what_the_pickle_wants(str(error))
        if wanted is None:
            raise ValueError(
                _unreadable(path, 'its pickle is broken or holds more than weights')
            ) from error
        raise ValueError(
            f'{path} was refused: its pickle asks for {wanted} and could run code; expected are '
            'tensors, numbers and strings only. If you trust the file, allow the data classes that '
            f'it needs by name with {ALLOWED_GLOBALS_VARIABLE}=module.Class (never functions), or '
            'save its state_dict alone with torch.save'
        ) from error
    except _DAMAGED as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(_unreadable(path, reason)) from error


def _additional_globals():
    """Allow the classes that the user named in the environment while a file is read."""
    names = [name for name in os.environ.get(ALLOWED_GLOBALS_VARIABLE, '').split(',') if name]
    if not names:
        return nullcontext()
    classes = []
    for name in names:
        module, _, attribute = name.strip().rpartition('.')
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(
                f'{ALLOWED_GLOBALS_VARIABLE} names {name}, which does not exist; expected '
                'module.Class, several separated by commas'
            ) from error
        if not isinstance(found, type):
            raise ValueError(
                f'{ALLOWED_GLOBALS_VARIABLE} names {name}, which is no class; functions are never '
                'called by a checkpoint'
            )
        classes.append(found)
    return torch.serialization.safe_globals(classes)


def _what_the_pickle_wants(message: str) -> str | None:
    """The name that torch's unpickler refused; None when the pickle is broken, not hostile."""
    patterns = (
        r'GLOBAL (\S+\.\w+)',
        r'global (\S+\.\w+)',
        r'(getattr\(.*?\))',
        r"<class '([\w.]+)'>",
    )
    found = (re.search(pattern, message) for pattern in patterns)
    return next((match[1] for match in found if match), None)


def _read_safetensors(path: Path, map_location) -> dict:
    from safetensors import SafetensorError, safe_open

    device = 'cpu' if map_location is None else str(map_location)
    try:
        with safe_open(path, framework='pt', device=device) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(_unreadable(path, str(error))) from error
    try:
        meta = json.loads(header['meta']) if 'meta' in header else {}
    except ValueError as error:
        raise ValueError(_unreadable(path, f'its metadata is no JSON: {error}')) from error
    return {'state_dict': tensors, 'meta': meta}


def _read_npz(path: Path) -> dict:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as arrays:
            tensors = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except _DAMAGED as error:
        if 'allow_pickle' in str(error):
            raise ValueError(
                f'{path} was refused: it holds pickled Python objects, which could run code; '
                'expected are arrays of numbers. If you trust the file, save its arrays alone '
                'with numpy.savez'
            ) from error
        raise ValueError(_unreadable(path, str(error) or type(error).__name__)) from error
    return {'state_dict': tensors}


def _unreadable(path: Path, reason: str) -> str:
    return (
        f'{path} ({path.stat().st_size} bytes) is not a readable checkpoint: {reason}; expected a '
        'file of torch.save, safetensors or numpy.savez. If it is truncated, copy or download it '
        'again'
    )


def state_dict_of(checkpoint: object, name: str) -> Mapping:
    """Return the parameters by name of a checkpoint, which may be nothing but them.

    Args:
        checkpoint: what a file holds: the parameters, or a dict that holds them as ``state_dict``
            (OpenMMLab and this project) or ``model`` (DeiT and rstrudel's Segmenter).
        name: what the message calls the file.

    Raises:
        ValueError: it is no dict.
    """
    if not isinstance(checkpoint, Mapping):
        raise ValueError(
            f'{name} holds a {type(checkpoint).__name__}, expected a checkpoint: a dict with '
            "'state_dict' and 'meta' as tools/train.py saves it"
        )
    for key in ('state_dict', 'model'):
        if isinstance(checkpoint.get(key), Mapping):
            return checkpoint[key]
    return checkpoint


def check_state_dict(
    model: torch.nn.Module, state_dict: Mapping, checkpoint_name: str, config_name: str
) -> None:
    """Raise unless ``state_dict`` fills every parameter and buffer of ``model`` and nothing else.

    Args:
        model: the model that is going to load the weights.
        state_dict: names to tensors; a leading ``module.`` (from data parallel training) is
            allowed, as mmengine removes it on loading.
        checkpoint_name: what the message calls the file.
        config_name: what the message calls the model.

    Raises:
        ValueError: entries have another shape, are missing or are unexpected; the message counts
            each kind and names its first entry.
    """
    given = {str(key).removeprefix('module.'): value for key, value in state_dict.items()}
    wanted = model.state_dict()
    problems = describe_mismatch(
        {key: shape_of(value) for key, value in given.items()},
        {key: shape_of(value) for key, value in wanted.items()},
    )
    if problems:
        raise ValueError(
            f'checkpoint {checkpoint_name} does not fit config {config_name}: {problems}; '
            'use the config it was trained with'
        )


def describe_mismatch(given: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    """Count entries of another shape, missing and unexpected ones, and name the first of each.

    Args:
        given: names in the file, each with its :func:`shape_of`.
        wanted: names in the model, likewise.

    Returns:
        The text; empty where both are the same.
    """
    reshaped = [
        f'{key} {given[key]} in the file, {shape} in the model'
        for key, shape in wanted.items()
        if key in given and given[key] != shape
    ]
    missing = [key for key in wanted if key not in given]
    unexpected = [key for key in given if key not in wanted]
    verb = 'has' if len(reshaped) == 1 else 'have'
    found = [
        f'{len(names)} {problem} (first: {names[0]})'
        for names, problem in (
            (reshaped, f'of {len(wanted)} parameters {verb} another shape'),
            (missing, f'of {len(wanted)} missing' if not reshaped else 'missing'),
            (unexpected, 'unexpected'),
        )
        if names
    ]
    return ', '.join(found)


def shape_of(value) -> tuple[int, ...] | str:
    """Shape of a tensor; the type's name of anything else, so that it never equals a shape."""
    return tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
