"""Reading checkpoints without ever running code that they hold."""

import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch

from mmseg_custom.checkpoints.sources import resolve


def load_from_local(filename: str | os.PathLike, map_location=None) -> dict:
    """Read a checkpoint file with ``torch.load(weights_only=True)``, whatever the environment says.

    Args:
        filename: path of a ``.pth`` file, or a name of published weights.
        map_location: as in :func:`torch.load`.

    Raises:
        FileNotFoundError: there is no such file, or it cannot be downloaded.
        ValueError: no published weights have that name; the file is not a checkpoint, is truncated,
            or holds a pickle that needs more than tensors, numbers, strings and log buffers.
    """
    path = resolve(filename)
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} is a folder, expected a file')
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = _what_the_pickle_wants(str(error))
        if wanted is None:
            raise ValueError(
                _unreadable(path, 'its pickle is broken or holds more than weights')
            ) from error
        raise ValueError(
            f'{path} was refused: its pickle asks for {wanted} and could run code; expected are '
            'tensors, numbers and strings only. If you trust the file, save its state_dict alone '
            'with torch.save first'
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(_unreadable(path, reason)) from error


def _what_the_pickle_wants(message: str) -> str | None:
    """The name that torch's unpickler refused; None when the pickle is broken, not hostile."""
    patterns = (r'GLOBAL (\S+)', r'global (\S+)', r'(getattr\(.*?\))', r"<class '([\w.]+)'>")
    found = (re.search(pattern, message) for pattern in patterns)
    return next((match[1] for match in found if match), None)


def _unreadable(path: Path, reason: str) -> str:
    return (
        f'{path} ({path.stat().st_size} bytes) is not a readable checkpoint: {reason}; expected a '
        'file written by torch.save. If it is truncated, copy or download it again'
    )


def load_from_http(url: str, map_location=None, **kwargs) -> dict:
    """Read a checkpoint that :func:`~mmseg_custom.checkpoints.sources.resolve` downloads."""
    return load_from_local(url, map_location)


def state_dict_of(checkpoint: object, name: str) -> Mapping:
    """Return the parameters by name of a checkpoint, which may be nothing but them.

    Args:
        checkpoint: what a file holds.
        name: what the message calls the file.

    Raises:
        ValueError: it is no dict.
    """
    if not isinstance(checkpoint, Mapping):
        raise ValueError(
            f'{name} holds a {type(checkpoint).__name__}, expected a checkpoint: a dict with '
            "'state_dict' and 'meta' as tools/train.py saves it"
        )
    return checkpoint.get('state_dict', checkpoint)


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
    reshaped = [
        f'{key} {_shape(given[key])} in the file, {_shape(value)} in the model'
        for key, value in wanted.items()
        if key in given and _shape(given[key]) != _shape(value)
    ]
    missing = [key for key in wanted if key not in given]
    unexpected = [key for key in given if key not in wanted]
    if not (reshaped or missing or unexpected):
        return
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
    raise ValueError(
        f'checkpoint {checkpoint_name} does not fit config {config_name}: {", ".join(found)}; '
        'use the config it was trained with'
    )


def _shape(value) -> tuple[int, ...] | str:
    """Shape of a tensor; the type's name of anything else, so that it never equals a shape."""
    return tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
