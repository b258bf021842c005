"""Frames of videos, read and written one at a time."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

from mmseg_custom.messages import import_extra
from mmseg_custom.writing import whole_file

VIDEO_SUFFIXES = ('.mp4', '.mov', '.mkv', '.avi', '.webm', '.m4v')
# FFmpeg's names of what these hold. It looks at the content alone, and a playlist under such a name
# would let it open other files.
CONTAINERS = 'mov,matroska,avi'


def read_frames(path: str | os.PathLike) -> Iterator[np.ndarray]:
    """Yield the frames of a video in the order and the way up in which they are shown.

    Yields:
        RGB uint8 (H, W, 3), turned as the camera noted in the file.

    Raises:
        FileNotFoundError: there is no such file.
        ModuleNotFoundError: PyAV is not installed.
        ValueError: it is no video, or it ends in the middle; frames before that are yielded first.
    """
    count, end, damaged = 0, 0.0, False
    with _opened(path, lambda: f'after {count} frames') as stream:
        stream.thread_type = 'AUTO'
        stated = _stated_seconds(stream)
        for packet in stream.container.demux(stream):
            damaged |= packet.is_corrupt
            for frame in packet.decode():
                count, end = count + 1, frame.time or 0.0
                yield np.rot90(frame.to_ndarray(format='rgb24'), round(frame.rotation / 90))
    # FFmpeg takes the end of a file for the end of the video.
    if damaged or stated - end > max(1.0, 0.05 * stated):
        raise ValueError(
            f'{path} is cut off or damaged: it gives {count} frames, to second {end:.1f} of '
            f'{stated:.1f}; copy or export it anew'
        )


def _stated_seconds(stream) -> float:
    """How long the file says that the video is; 0 where it does not."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return (stream.container.duration or 0) / 1e6


def frame_rate(path: str | os.PathLike) -> Fraction:
    """Frames per second; 25 where the file does not say.

    Raises:
        FileNotFoundError, ModuleNotFoundError, ValueError: as :func:`read_frames`.
    """
    with _opened(path, lambda: '') as stream:
        return stream.average_rate or Fraction(25)


def frame_size(path: str | os.PathLike) -> tuple[int, int]:
    """Width and height in pixels as the file states them, before a frame is decoded.

    Raises:
        FileNotFoundError, ModuleNotFoundError, ValueError: as :func:`read_frames`.
    """
    with _opened(path, lambda: '') as stream:
        return stream.width, stream.height


@contextmanager
def _opened(path: str | os.PathLike, progress: Callable[[], str]):
    """Open the first video stream of a file; what FFmpeg says in between becomes one line."""
    av = import_extra('av', 'video')
    if not Path(path).is_file():
        raise FileNotFoundError(f'video {path} does not exist')
    try:
        with av.open(os.fspath(path), options={'format_whitelist': CONTAINERS}) as container:
            if not container.streams.video:
                raise ValueError(
                    f'{path} holds no video; expected MP4, MOV, MKV, WebM or AVI that does'
                )
            yield container.streams.video[0]
    except av.FFmpegError as error:
        raise ValueError(
            f'{path} ({os.path.getsize(path)} bytes) cannot be read {progress()} '
            f'({error.strerror}); expected a whole file: MP4, MOV, MKV, WebM or AVI'
        ) from error


class VideoWriter:
    """Write frames as H.264, a whole file or none; a context manager.

    Args:
        path: of the file, ``.mp4`` or another container that holds H.264.
        rate: frames per second.

    Raises:
        ValueError: no frame was written.
    """

    def __init__(self, path: str | os.PathLike, rate: Fraction | int) -> None:
        self.path = Path(path)
        self._av = import_extra('av', 'video')
        self._rate, self._stream = Fraction(rate).limit_denominator(65535), None

    def __enter__(self) -> 'VideoWriter':
        with ExitStack() as stack:
            partial = stack.enter_context(whole_file(self.path))
            self._container = stack.enter_context(self._av.open(os.fspath(partial), mode='w'))
            stack.push(self._flush)
            self._ending = stack.pop_all()
        return self

    def write(self, frame: np.ndarray) -> None:
        """Add a frame, RGB uint8 (H, W, 3), all of one size; an odd side loses its last pixels."""
        height, width = (side - side % 2 for side in frame.shape[:2])
        if self._stream is None:
            self._stream = self._container.add_stream('libx264', rate=self._rate)
            self._stream.width, self._stream.height = width, height
            self._stream.pix_fmt = 'yuv420p'
        picture = self._av.VideoFrame.from_ndarray(
            np.ascontiguousarray(frame[:height, :width]), format='rgb24'
        )
        self._container.mux(self._stream.encode(picture))

    def _flush(self, error_type, *_) -> None:
        if error_type is not None:
            return
        if self._stream is None:
            raise ValueError(f'no frame for {self.path}; expected at least one')
        self._container.mux(self._stream.encode())

    def __exit__(self, *error) -> None:
        self._ending.__exit__(*error)
