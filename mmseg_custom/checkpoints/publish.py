"""Files to hand on: weights only, with what is needed to use them, and a hash in the name."""

import hashlib
import os
import re
from pathlib import Path

from mmseg_custom.checkpoints.comparing import options_of
from mmseg_custom.checkpoints.formats.description import Weights
from mmseg_custom.checkpoints.loading import open_weights
from mmseg_custom.checkpoints.saving import check_suffix, meta_of, serialise, write_file

HASH_DIGITS = 8


def publish(source: str | os.PathLike, target: str | os.PathLike) -> Path:
    """Write the weights of a checkpoint without the state of its run.

    The file keeps the classes, their colours, the preprocessing, the description and the text of
    the config. Its name ends in the first digits of its SHA-256, as OpenMMLab's do, which downloads
    check.

    Args:
        source: a checkpoint of any known source.
        target: path that ends in ``.pth`` or ``.safetensors``; the hash is put before the suffix.

    Returns:
        The path that was written.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: it cannot be read, or the target has another suffix.
        OSError: it cannot be written; nothing is left of it.
    """
    target = Path(target).expanduser()
    check_suffix(target.suffix)
    weights = open_weights(source)
    content = serialise(weights.state_dict, meta_of(weights), target.suffix)
    digits = hashlib.sha256(content).hexdigest()[:HASH_DIGITS]
    stem = re.sub(rf'-[0-9a-f]{{{HASH_DIGITS}}}$', '', target.stem)
    path = target.with_name(f'{stem}-{digits}{target.suffix}')
    write_file(path, content)
    return path


def convert_file(
    source: str | os.PathLike,
    target: str | os.PathLike,
    expected: str,
    keep_classifier: bool = False,
) -> Weights:
    """Convert a checkpoint of one source into a file with our names.

    Without a decoder the names are those of a backbone alone, as MMSegmentation's converters write
    them, and a classifier is left out unless it is asked for.

    Args:
        source: path, link or name.
        target: path that ends in ``.pth`` or ``.safetensors``.
        expected: the source that it should be of, as in ``Description.source``.
        keep_classifier: keep a classifier, with the names of an ``ImageClassifier``.

    Returns:
        What was converted.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: it cannot be read, or is of another source.
        OSError: it cannot be written; nothing is left of it.
    """
    target = Path(target).expanduser()
    check_suffix(target.suffix)
    weights = open_weights(source)
    found = weights.description
    if found.source != expected:
        raise ValueError(
            f'{weights.name} holds {found.kind}, expected weights of {expected}; see '
            'tools/model_converters for the converter of other sources'
        )
    state_dict = weights.state_dict
    if not (found.has_decoder or (keep_classifier and found.head)):
        state_dict = {
            name.removeprefix('backbone.'): value
            for name, value in state_dict.items()
            if name.startswith('backbone.')
        }
    write_file(target, serialise(state_dict, meta_of(weights), target.suffix))
    return weights


def describe_conversion(weights: Weights, target: str | os.PathLike) -> str:
    """Say what was converted, and with which options a config computes the same numbers."""
    lines = [f'{weights.name}: {weights.description.kind}', f'wrote {target}']
    options = options_of(weights.description)
    if options:
        lines.append(f'use it with --cfg-options {" ".join(options)}')
    return '\n'.join(lines)
