"""What may be called with: pictures in memory, files, folders, patterns, videos."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_custom.datasets.checks import IMAGE_SUFFIXES, find_by_stem
from mmseg_custom.inference.video import VIDEO_SUFFIXES, read_frames
from mmseg_custom.messages import did_you_mean

Source = str | os.PathLike | np.ndarray | Image.Image


def is_picture(source) -> bool:
    """Whether it is one picture."""
    if isinstance(source, np.ndarray | Image.Image):
        return True
    if not isinstance(source, str | os.PathLike):
        return False
    path = Path(source)
    return not (path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES or _is_pattern(path))


def _is_pattern(path: Path) -> bool:
    return not path.exists() and glob.has_magic(str(path))


def list_pictures(source) -> Iterator[tuple[str, Source]]:
    """Yield names and pictures of everything that ``source`` may be."""
    if isinstance(source, np.ndarray | Image.Image):
        source = [source]
    if not isinstance(source, str | os.PathLike):
        for number, one in enumerate(source):
            if isinstance(one, np.ndarray | Image.Image):
                yield str(number), one
            else:
                yield from list_pictures(one)
        return
    path = Path(source)
    if path.is_dir():
        yield from ((str(path / name),) * 2 for name in find_by_stem(path, IMAGE_SUFFIXES).values())
    elif path.suffix.lower() in VIDEO_SUFFIXES:
        frames = enumerate(read_frames(path))
        yield from ((f'{path}#{number}', Image.fromarray(frame)) for number, frame in frames)
    elif _is_pattern(path):
        found = sorted(glob.glob(str(path), recursive=True))
        if not found:
            raise FileNotFoundError(_nothing_fits(path))
        yield from ((name, name) for name in found)
    else:
        yield str(path), str(path)


def _nothing_fits(path: Path) -> str:
    folder = path.parent
    names = [one.name for one in folder.iterdir()] if folder.is_dir() else []
    hint = did_you_mean(path.name, names)
    return f'no file fits {path}; {folder} has {len(names)} files{hint and f"; {hint}"}'
