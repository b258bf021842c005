"""What a mask file holds, of every kind that annotation tools write."""

import io
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
GREY, RGB, RGBA = 0, 2, 6  # colour types of PNG
CHANNEL_BITS = {(GREY, 8), (GREY, 16), (RGB, 8), (RGBA, 8)}  # which OpenCV reads, and faster


class MaskFile(NamedTuple):
    """The raw content of a mask.

    Attributes:
        pixels: (H, W) uint8 or uint16; (H, W, 3) uint8 in RGB order for the kind ``rgb``.
        kind: ``'index'``, ``'palette'``, ``'rgb'`` or ``'16-bit'``.
        palette: (N, 3) uint8, RGB, of the kind ``palette``; else None.
    """

    pixels: np.ndarray
    kind: str
    palette: np.ndarray | None = None


def read_mask(path: str | Path) -> MaskFile:
    """Read a mask as it is in the file: no palette applied, no value changed.

    A mask of one bit holds 0 and 1. Alpha is left out where it is the same everywhere.

    Raises:
        OSError: there is no such file.
        ValueError: it cannot be read, or holds something else than values or 8-bit colours.
    """
    return decode_mask(Path(path).read_bytes(), path)


def decode_mask(data: bytes, path: str | Path) -> MaskFile:
    """Do what :func:`read_mask` does with the content of a file; ``path`` is for messages."""
    if not data:
        raise ValueError(f'{path} is empty (0 bytes); expected a mask, write it again')
    colour_type, bits = _png_header(data)
    if bits == 16 and colour_type != GREY:
        raise ValueError(f'{path} has 16 bits per colour; expected 8, save it as 8-bit RGB')
    pixels = None
    if (colour_type, bits) in CHANNEL_BITS:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or (pixels.ndim == 3 and colour_type == GREY):
        return _decode_with_pillow(data, path)
    if pixels.ndim == 3:
        channels = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
        pixels = cv2.cvtColor(pixels, channels)
    return _classified(pixels, path)


def _png_header(data: bytes) -> tuple[int | None, int | None]:
    """Colour type and bits per channel of a PNG; None for what is none."""
    is_png = data[:8] == PNG_SIGNATURE and len(data) > 25
    return (data[25], data[24]) if is_png else (None, None)


def _decode_with_pillow(data: bytes, path: str | Path) -> MaskFile:
    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.array(image)
            mode, palette = image.mode, image.getpalette()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f'cannot read {path} as a mask ({error}); expected PNG, TIFF or BMP with one channel, '
            'a palette or 8-bit RGB, write it again'
        ) from error
    if mode == '1':
        return MaskFile(pixels.astype(np.uint8), 'index')
    if mode == 'P':
        return MaskFile(pixels, 'palette', np.array(palette, np.uint8).reshape(-1, 3))
    if mode == 'I' or mode.startswith('I;16'):
        if pixels.min() < 0 or pixels.max() > 0xFFFF:
            raise ValueError(
                f'{path} holds {pixels.min()} to {pixels.max()}; expected values 0-65535'
            )
        return MaskFile(pixels.astype(np.uint16), '16-bit')
    if mode not in ('L', 'LA', 'RGB', 'RGBA'):
        raise ValueError(
            f'{path} is a picture of mode {mode}; expected one channel of 8 or 16 bits, a palette '
            'or 8-bit RGB, save it as PNG'
        )
    return _classified(pixels, path)


def _classified(pixels: np.ndarray, path: str | Path) -> MaskFile:
    """Leave alpha out of (H, W), (H, W, 2), (H, W, 3) or (H, W, 4) and name the kind."""
    if pixels.ndim == 2:
        return MaskFile(pixels, '16-bit' if pixels.dtype == np.uint16 else 'index')
    if pixels.shape[2] in (2, 4):
        alpha = pixels[..., -1]
        if (alpha != alpha[0, 0]).any():
            raise ValueError(
                f'{path} has an alpha channel with values {alpha.min()} to {alpha.max()}; expected '
                'a mask without transparency, remove the channel'
            )
        pixels = np.ascontiguousarray(pixels[..., :-1])
    if pixels.shape[2] == 1:
        return MaskFile(pixels[..., 0], 'index')
    return MaskFile(pixels, 'rgb')
