"""Pictures and labels as they come out of the loading transforms, kept on the disk.

One file per sample, written whole or not at all, holds the arrays as they lie in memory: a large
one is mapped, and only the pages that a crop needs are touched. A file belongs to the paths and the
settings that made it (its name) and to one state of the picture's and the label's files (its
header): after a change of either they are read again, never served from the cache.
"""

import copy
import hashlib
import json
import marshal
import mmap
import os
import struct
import types
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform

from mmseg_custom.writing import whole_file

MAGIC = b'mmsegc01'
# Up to a few megabytes, making a map and fetching its pages takes longer than reading all.
MAPPED_BYTES = 2**22
# The header's length follows the magic; arrays begin at multiples of this.
ALIGNMENT = 64
SUFFIX = '.sample'
# A sample's place in its data set, which says nothing about the sample.
PLACE = 'sample_idx'
# What has read the label; a mixture of data sets puts another one in its place.


class CachedLoading(BaseTransform):
    """Take what loading transforms give from a file of the cache, else from the transforms.

    What comes from the cache may be changed in place: the file stays as it is.

    Args:
        folder: of the cache.
        transforms: those that read a sample's files; without randomness.
        keys: of a sample as the data set gives it; entries that transforms before this one made are
            not looked at.
    """

    def __init__(self, folder: str | Path, transforms: Sequence[Callable], keys: Sequence[str]):
        self.folder, self.transforms = Path(folder), list(transforms)
        self.keys = sorted({*keys} - {PLACE})
        self.settings = digest(self.transforms)
        self._object, self._object_digest = None, b''

    def transform(self, results: dict) -> dict | None:
        """Add what the transforms add, e.g. ``img``, ``img_shape`` and ``gt_seg_map``."""
        found = read(self.path(results), file_states(self._sample(results)))
        if found is not None:
            results.update(found)
            return results
        for transform in self.transforms:
            results = transform(results)
            if results is None:
                return None
        return results

    def path(self, sample: dict) -> str:
        """The file of a sample, whether it exists or not."""
        values = [
            (key, self._digest(value) if hasattr(value, '__dict__') else value)
            for key, value in self._sample(sample).items()
        ]
        name = hashlib.blake2b(self.settings + _bytes(values), digest_size=16).hexdigest()
        return f'{self.folder}/{name[:2]}/{name}{SUFFIX}'

    def is_stored(self, sample: dict) -> bool:
        """Whether the cache holds the sample's files as they are."""
        header = read_header(self.path(sample))
        return header is not None and header['files'] == file_states(self._sample(sample))

    def load(self, sample: dict) -> tuple[list, dict]:
        """Run the transforms on a sample as the data set gives it; it is not changed.

        Returns:
            The states of its files, from before they were read, and what the transforms added.
        """
        states = file_states(self._sample(sample))
        results = {k: copy.copy(v) if isinstance(v, list | dict) else v for k, v in sample.items()}
        for transform in self.transforms:
            results = transform(results)
        # A reader of labels has done its work.
        added = ((k, v) for k, v in results.items() if not callable(v))
        return states, {k: v for k, v in added if _differs(v, k, sample)}

    def _sample(self, results: dict) -> dict:
        """What the data set gave, in the order of the keys."""
        return {key: results[key] for key in self.keys if key in results}

    def _digest(self, value) -> bytes:
        """Digest of an object, which a data set gives to all its samples: made once."""
        if self._object is not value:
            self._object, self._object_digest = value, digest(value)
        return self._object_digest


def _differs(value, key: str, sample: dict) -> bool:
    if key not in sample:
        return True
    return value is not sample[key] and digest(value) != digest(sample[key])


def file_states(sample: dict) -> list:
    """Size and time of change (ns) of every file that a sample names; None for no file."""
    states = []
    for value in sample.values():
        if isinstance(value, str | os.PathLike):
            try:
                state = os.stat(value)
            except (OSError, ValueError):
                states.append(None)
            else:
                states.append([state.st_size, state.st_mtime_ns])
    return states


def write(path: str, files: list, entries: dict) -> int:
    """Write a sample's file; it appears whole or not at all.

    Args:
        path: of the file; its folder is made.
        files: :func:`file_states` of the sample, from before it was loaded.
        entries: arrays, and values for JSON; tuples stay tuples.

    Returns:
        Bytes of the file.

    Raises:
        OSError: the file cannot be written.
    """
    arrays = {k: np.ascontiguousarray(v) for k, v in entries.items() if isinstance(v, np.ndarray)}
    layout, position = {}, 0
    for key, array in arrays.items():
        layout[key] = [array.dtype.str, array.shape, position]
        position += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    values = {key: value for key, value in entries.items() if key not in arrays}
    tuples = [key for key, value in values.items() if isinstance(value, tuple)]
    header = dict(files=files, arrays=layout, values=values, tuples=tuples, bytes=position)
    text = json.dumps(header).encode()
    start = _padded(len(MAGIC) + 4 + len(text))
    with whole_file(path) as partial, open(partial, 'wb') as file:
        file.write(MAGIC + struct.pack('<I', len(text)) + text)
        for (_, _, offset), array in zip(layout.values(), arrays.values()):
            file.seek(start + offset)
            file.write(array.data)
        file.truncate(start + position)
    return start + position


def read(path: str, files: list) -> dict | None:
    """Map a sample's file.

    Args:
        path: of the file.
        files: :func:`file_states` of the sample as it is now.

    Returns:
        What was stored; arrays lie in memory or in a private map of the file: writing to them does
        not change it. None where there is no such file, it is torn, or the sample's files changed.
    """
    content = _content(path, MAPPED_BYTES)
    parsed = _parsed(content)
    if parsed is None or parsed[0]['files'] != files:
        return None
    header, start = parsed
    found = header['values']
    for key in header['tuples']:
        found[key] = tuple(found[key])
    for key, (dtype, shape, offset) in header['arrays'].items():
        found[key] = np.ndarray(shape, dtype, content, start + offset)
    return found


def read_header(path: str) -> dict | None:
    """The header of a sample's file; None where there is none or it is torn."""
    parsed = _parsed(_content(path))
    return None if parsed is None else parsed[0]


def _content(path: str, mapped_bytes: int = 0) -> memoryview:
    """A file's content: a private map from ``mapped_bytes`` on; empty where there is no file."""
    try:
        file = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return memoryview(b'')
    try:
        num_bytes = os.fstat(file).st_size
        if num_bytes and num_bytes >= mapped_bytes:
            return memoryview(mmap.mmap(file, num_bytes, access=mmap.ACCESS_COPY))
        content = memoryview(np.empty(num_bytes, np.uint8))
        return content[: os.readv(file, [content])]
    finally:
        os.close(file)


def _parsed(content: memoryview) -> tuple[dict, int] | None:
    """Header and start of the arrays of a file; None where they do not fit its length."""
    begin = len(MAGIC) + 4
    if len(content) < begin or content[: len(MAGIC)] != MAGIC:
        return None
    (length,) = struct.unpack_from('<I', content, len(MAGIC))
    try:
        header = json.loads(bytes(content[begin : begin + length]))
    except ValueError:
        return None
    start = _padded(begin + length)
    return (header, start) if start + header['bytes'] == len(content) else None


def _padded(position: int) -> int:
    return -(-position // ALIGNMENT) * ALIGNMENT


def digest(value) -> bytes:
    """Digest of a value, the same in every process for values that would be pickled alike."""
    return hashlib.blake2b(_bytes(value), digest_size=16).digest()


def _bytes(value) -> bytes:
    try:
        # This version of the format has no references, so equal values give equal bytes.
        return marshal.dumps(value, 2)
    except ValueError:
        return marshal.dumps(_plain(value), 2)


def _plain(value):
    """The value with nothing but what ``marshal`` knows."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, dict):
        return [(_plain(key), _plain(entry)) for key, entry in value.items()]
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return f'{value.__module__}.{value.__qualname__}'
    made_by, arguments, *state = value.__reduce_ex__(4)
    # After the state come iterators over what a list or a dictionary holds.
    state = state[:1] + [list(entries) for entries in state[1:3] if entries is not None]
    return [_plain(made_by), _plain(arguments), _plain(state)]
