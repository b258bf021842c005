"""Reading a picture: mmcv's pixels, at a reduced scale where a later step needs no more.

A JPEG file can be decoded at a half, a quarter or an eighth of its size at a fraction of the cost.
Reading and decoding themselves are mmcv's: other decoders are not faster once freed memory stays in
the process (docs/data_speed.md).
"""

import io
import os
import struct

import cv2
import mmcv
import numpy as np
from mmcv.image.io import imread_flags
from mmcv.transforms import LoadImageFromFile as UpstreamLoadImageFromFile
from mmengine import fileio
from PIL import Image

from mmseg_custom.registry import TRANSFORMS

JPEG_START = b'\xff\xd8'
# Markers of JPEG: those that hold the size, and the one that may hold Exif.
FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
EXIF_MARKER = 0xE1
EXIF_ORIENTATION = 0x0112
# OpenCV's flags of a reduced scale, to be joined with grey or colour.
REDUCED_FLAGS = {8: 64, 4: 32, 2: 16}
REDUCIBLE = ('color', 'grayscale', 'color_ignore_orientation', 'grayscale_ignore_orientation')


@TRANSFORMS.register_module()
class LoadImageFromFile(UpstreamLoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` with reduced decoding and errors that name the file.

    Where ``results['decode_target']``, (width, height) in pixels, is set, a JPEG file may come at a
    half, a quarter or an eighth of its size, never smaller than that; ``ori_shape`` is the
    picture's own size and ``img_shape`` that of ``img``. Without it every pixel is mmcv's,
    orientation by Exif included.

    Args:
        to_float32: return float32.
        color_type: ``color`` (BGR), ``grayscale``, ``unchanged``, or the first two with
            ``_ignore_orientation`` added.
        imdecode_backend: ``cv2``, ``pillow``, ``tifffile`` or ``turbojpeg``; only ``cv2`` reduces.
        file_client_args: as in mmcv.
        ignore_empty: return None for a file that cannot be read.
        backend_args: of mmengine's file backend.

    Raises:
        OSError: the file cannot be read.
        ValueError: its content is no picture.
    """

    def transform(self, results: dict) -> dict | None:
        """Add ``img``, uint8 (H, W, 3) BGR by default, ``img_shape`` and ``ori_shape``."""
        path = results['img_path']
        try:
            content = self._read(path)
            reduction = self._reduction(content, results.get('decode_target'))
            image, size = self._decode(content, *reduction)
        except Exception as error:
            if self.ignore_empty:
                return None
            raise explained(error, path) from error
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = image.shape[:2]
        results['ori_shape'] = size or image.shape[:2]
        return results

    def _read(self, path: str) -> bytes:
        if self.file_client_args is not None:
            client = fileio.FileClient.infer_client(self.file_client_args, path)
            return client.get(path)
        if self.backend_args is not None or '://' in str(path):
            return fileio.get(path, backend_args=self.backend_args)
        # Looking for the backend of a path takes longer than reading a small file.
        with open(path, 'rb') as file:
            return file.read()

    def _reduction(self, content: bytes, target) -> tuple[int, tuple[int, int] | None]:
        """The divisor of the picture's sides, and its height and width where it is above 1."""
        is_jpeg = content[:2] == JPEG_START and self.imdecode_backend == 'cv2'
        if target is None or not is_jpeg or self.color_type not in REDUCIBLE:
            return 1, None
        size = jpeg_size(content, upright='ignore_orientation' not in self.color_type)
        if size is None:
            return 1, None
        for divisor in REDUCED_FLAGS:
            if -(-size[0] // divisor) >= target[1] and -(-size[1] // divisor) >= target[0]:
                return divisor, size
        return 1, None

    def _decode(self, content: bytes, divisor: int, size) -> tuple[np.ndarray, tuple | None]:
        if not content:
            raise ValueError('the file is empty')
        if divisor > 1:
            flag = imread_flags[self.color_type] | REDUCED_FLAGS[divisor]
            image = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
        else:
            image = mmcv.imfrombytes(content, flag=self.color_type, backend=self.imdecode_backend)
        if image is None:
            raise ValueError(f'{self.imdecode_backend} finds no picture in {len(content)} bytes')
        return image, size


def explained(error: Exception, path: str | os.PathLike) -> Exception:
    """Return the error of a picture's file with one line that names the file and the reason."""
    reason = getattr(error, 'strerror', None) or ' '.join(str(error).split())
    kind = type(error) if getattr(error, 'errno', None) else ValueError
    return kind(f'cannot read the picture {path}: {reason}; replace the file or leave it out')


def jpeg_size(content: bytes, upright: bool = True) -> tuple[int, int] | None:
    """Read height and width from the header of a JPEG file.

    Args:
        content: of the file.
        upright: after turning the picture as its Exif says, as decoders do by default.

    Returns:
        None where the header is damaged.
    """
    position, has_exif = 2, False
    while position + 9 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:  # a byte of filling
            position += 1
            continue
        if marker in FRAME_MARKERS:
            height, width = struct.unpack_from('>HH', content, position + 5)
            is_turned = upright and has_exif and _orientation(content) > 4
            return (width, height) if is_turned else (height, width)
        has_exif |= marker == EXIF_MARKER
        position += 2 + struct.unpack_from('>H', content, position + 2)[0]
    return None


def _orientation(content: bytes) -> int:
    """Exif's orientation, 1 to 8; from 5 on width and height change places."""
    with Image.open(io.BytesIO(content)) as image:
        return image.getexif().get(EXIF_ORIENTATION, 1)
