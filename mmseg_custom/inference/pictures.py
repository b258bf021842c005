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
# What a picture, not the program, is to blame for.
UNUSABLE = (ValueError, FileNotFoundError)


def is_picture(source) -> bool:
    """Whether it is one picture."""
    if isinstance(source, np.ndarray | Image.Image):
        return True
    if not isinstance(source, str | os.PathLike):
        return False
    path = Path(source)
    return not (path.is_dir() or is_video(path) or _is_pattern(path))


def rgb_of(picture: Image.Image) -> np.ndarray:
    """Return the pixels of a PIL image as they lie, RGB uint8 (H, W, 3); of 16 bits the upper 8.

    Raises:
        ValueError: its file ends early, or its pixels have no range (modes ``I`` and ``F``).
    """
    if picture.mode in ('I', 'F'):
        raise ValueError(
            f"a PIL image of mode '{picture.mode}' has no range; scale it to 0..255 and convert it "
            'to RGB'
        )
    try:
        if picture.mode.startswith('I;16'):
            return (np.asarray(picture) >> 8).astype(np.uint8)[..., None].repeat(3, axis=2)
        return np.asarray(picture.convert('RGB'))
    except OSError as error:
        raise ValueError(f'a PIL image cannot be decoded ({error}); copy its file anew') from error


def is_video(path: str | os.PathLike) -> bool:
    """Whether the name is that of a video."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def _is_pattern(path: Path) -> bool:
    return not path.exists() and glob.has_magic(str(path))


def find_files(source: str | os.PathLike) -> tuple[list[Path], Path]:
    """Find the files that a path stands for.

    Args:
        source: a folder, which is searched for pictures with its sub-folders; a pattern such as
            ``'shots/*.jpg'``; or a file.

    Returns:
        The files, sorted, and the folder that their names are relative to.

    Raises:
        FileNotFoundError: nothing is there; the message names what is spelled like it.
        ValueError: two pictures of a folder differ in nothing but their suffix.
    """
    path = Path(source)
    if path.is_dir():
        names = find_by_stem(path, (*IMAGE_SUFFIXES, '.npy'), 'pictures').values()
        return sorted(path / name for name in names), path
    if path.exists():
        return [path], path.parent
    found = glob.glob(str(path), recursive=True) if _is_pattern(path) else []
    files = sorted(Path(name) for name in found if not os.path.isdir(name))
    if not files:
        raise FileNotFoundError(_nothing_fits(path))
    return files, Path(os.path.commonpath([file.parent for file in files]))


def list_pictures(source) -> Iterator[tuple[str, Source | Exception]]:
    """Yield names and pictures of everything that ``source`` may be.

    A path that stands for nothing, and the place from where on a video cannot be read, are yielded
    as the error that says so, so that what follows them is not lost.
    """
    if isinstance(source, str | os.PathLike | np.ndarray | Image.Image):
        source = [source]
    for number, one in enumerate(source):
        if isinstance(one, np.ndarray | Image.Image):
            yield str(number), one
            continue
        try:
            files, _ = find_files(one)
        except UNUSABLE as error:
            yield str(one), error
            continue
        for file in files:
            yield from _frames(file) if is_video(file) else [(str(file), str(file))]


def _frames(video: Path) -> Iterator[tuple[str, Source | Exception]]:
    try:
        for number, frame in enumerate(read_frames(video)):
            yield f'{video}#{number}', Image.fromarray(frame)
    except UNUSABLE as error:
        yield str(video), error


def _nothing_fits(path: Path) -> str:
    folder = path.absolute().parent
    if not folder.is_dir():
        return f'{path} does not exist, nor does the folder {folder}'
    names = [one.name for one in folder.iterdir()]
    hint = did_you_mean(path.name, names)
    what = f'no file fits {path}' if _is_pattern(path) else f'{path} does not exist'
    return f'{what}; {folder} has {len(names)} files{hint and f"; {hint}"}'
