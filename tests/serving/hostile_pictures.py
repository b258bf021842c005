"""Files that are small and claim much, or are no pictures."""

import functools
import io
import struct
import zlib

import numpy as np
from PIL import Image

SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><rect width="9"/></svg>'
HTML = b'<!DOCTYPE html><html><script>alert(1)</script></html>'


@functools.cache
def bomb(side: int = 30_000) -> bytes:
    """A PNG of one colour and one bit a pixel: about 100 kB that become 900 MB."""
    packer = zlib.compressobj()
    row = bytes(1 + (side + 7) // 8)
    rows = b''.join([packer.compress(row) for _ in range(side)] + [packer.flush()])
    header = struct.pack('>IIBBBBB', side, side, 1, 0, 0, 0, 0)
    chunks = ((b'IHDR', header), (b'IDAT', rows), (b'IEND', b''))
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        for kind, data in chunks
    )


def tile_bomb(side: int = 8192) -> bytes:
    """A TIFF of 16x16 pixels in one tile of side x side."""
    import tifffile

    file = io.BytesIO()
    pixels = np.zeros((16, 16), np.uint8)
    tifffile.imwrite(file, pixels, tile=(side, side), compression='zlib')
    return file.getvalue()


def scan_bomb(times: int = 200) -> bytes:
    """A JPEG whose last scan, which goes over the whole picture, is repeated."""
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert('RGB').save(file, 'JPEG', progressive=True)
    content = file.getvalue()
    start = content.rindex(b'\xff\xda')
    return content[:start] + content[start:-2] * times + content[-2:]


def sixteen_bits() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(file, 'PNG')
    return file.getvalue()


def gif() -> bytes:
    file = io.BytesIO()
    Image.new('P', (8, 8)).save(file, 'GIF')
    return file.getvalue()


def jpeg(size: tuple[int, int] = (90, 61)) -> bytes:
    file = io.BytesIO()
    Image.effect_noise(size, 90).convert('RGB').save(file, 'JPEG')
    return file.getvalue()
