"""What an image file is, from its header, and whether it is whole.

Pillow reads them: it raises where pixels are missing. OpenCV, which the pipeline decodes with, may
fill a truncated JPEG with grey.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

EXIF_ORIENTATION = 0x0112
FIRST_TRANSPOSED = 5  # EXIF orientations 5 to 8 swap width and height


class DamagedFileError(ValueError):
    """A file that cannot be read; the message says why in a few words, without its name."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The header of an image file.

    Attributes:
        width, height: in pixels, as stored.
        kind: ``'RGB'``, ``'grey'``, ``'palette'``, ``'alpha'``, ``'CMYK'``, ``'16-bit'``,
            ``'float'`` or ``'N bands'``.
        orientation: EXIF, 1 (as stored) to 8.
    """

    width: int
    height: int
    kind: str
    orientation: int = 1

    def size(self, ignore_orientation: bool = False) -> tuple[int, int]:
        """Width and height as the pipeline sees them, by default turned as EXIF says."""
        turned = self.orientation >= FIRST_TRANSPOSED and not ignore_orientation
        return (self.height, self.width) if turned else (self.width, self.height)


def read_header(file) -> ImageFacts:
    """Read the header of an image.

    Args:
        file: a path, or a binary file object.

    Raises:
        DamagedFileError: the file is missing, empty, or no image.
    """
    try:
        with Image.open(file) as image:
            return ImageFacts(*image.size, _kind(image), _orientation(image))
    except UnidentifiedImageError:
        return _tiff_header(file)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DamagedFileError(reason_of(error)) from error


def check_pixels(content: bytes, facts: ImageFacts) -> None:
    """Look whether all pixels of a file are there, as cheaply as its format allows.

    A JPEG is decoded at an eighth of its size, which reads all of its data; of a PNG the checksums
    are compared; everything else is decoded.

    Args:
        content: the file's bytes.
        facts: its header.

    Raises:
        DamagedFileError: data are missing or damaged, or values are not finite.
    """
    if facts.kind == 'float' or facts.kind.endswith('bands'):
        _check_finite(_decode_any(content))
        return
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.format == 'PNG':
                image.verify()
                return
            image.draft(None, (max(1, facts.width // 8), max(1, facts.height // 8)))
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DamagedFileError(reason_of(error)) from error


def reason_of(error: Exception) -> str:
    """Say in a few words what an error of a decoder means for the file."""
    if isinstance(error, FileNotFoundError):
        return 'does not exist'
    if isinstance(error, OSError) and error.strerror:
        return f'cannot be read ({error.strerror})'
    text = ' '.join(str(error).split())
    cut = 'truncated' in text.lower() or 'unexpected' in text.lower() or 'eof' in text.lower()
    return f'is truncated or damaged ({text})' if cut else f'is damaged ({text})'


def _kind(image: Image.Image) -> str:
    packing = str([tile.args for tile in image.tile])
    if image.mode == 'F':
        return 'float'
    if ';16' in packing or image.mode.startswith('I'):
        return '16-bit'
    if image.mode in ('RGBA', 'LA', 'PA', 'La', 'RGBa') or 'transparency' in image.info:
        return 'alpha'
    return {'L': 'grey', '1': 'grey', 'P': 'palette'}.get(image.mode, image.mode)


def _orientation(image: Image.Image) -> int:
    # `getexif` of a PNG without EXIF would decode the whole picture.
    if 'exif' not in image.info and image.format != 'TIFF':
        return 1
    value = image.getexif().get(EXIF_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def _size_on_disk(file) -> int:
    if hasattr(file, 'getbuffer'):
        return file.getbuffer().nbytes
    with open(file, 'rb') as opened:
        return opened.seek(0, io.SEEK_END)


def _tiff_header(file) -> ImageFacts:
    """The header of what Pillow does not know: a TIFF with many bands or of floats."""
    if _size_on_disk(file) == 0:
        raise DamagedFileError('is empty (0 bytes)')
    tifffile = _tifffile(file)
    if tifffile is None:
        raise DamagedFileError('is no image of a known format')
    if hasattr(file, 'seek'):
        file.seek(0)
    try:
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages[0]
            kind = {'f': 'float'}.get(page.dtype.kind) or f'{page.samplesperpixel} bands'
            return ImageFacts(page.imagewidth, page.imagelength, kind)
    # Codecs of imagecodecs raise RuntimeError.
    except (tifffile.TiffFileError, IndexError, ValueError, AttributeError, RuntimeError) as error:
        raise DamagedFileError(reason_of(error)) from error


def _tifffile(file):
    """The package, if the file begins as a TIFF does."""
    if hasattr(file, 'seek'):
        file.seek(0)
        start = file.read(4)
    else:
        with open(file, 'rb') as opened:
            start = opened.read(4)
    if start[:2] not in (b'II', b'MM'):
        return None
    try:
        import tifffile
    except ImportError as error:
        raise DamagedFileError('is a TIFF that needs: pip install tifffile') from error
    return tifffile


def _decode_any(content: bytes) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(image)
    except UnidentifiedImageError:
        tifffile = _tifffile(io.BytesIO(content))
    except (OSError, ValueError) as error:
        raise DamagedFileError(reason_of(error)) from error
    if tifffile is None:
        raise DamagedFileError('is no image of a known format')
    try:
        return tifffile.imread(io.BytesIO(content))
    except (tifffile.TiffFileError, ValueError, IndexError, KeyError, RuntimeError) as error:
        raise DamagedFileError(reason_of(error)) from error


def _check_finite(pixels: np.ndarray) -> None:
    if pixels.dtype.kind != 'f':
        return
    wrong = pixels.size - int(np.isfinite(pixels).sum())
    if wrong:
        raise DamagedFileError(f'has {wrong} of {pixels.size} values that are NaN or infinite')
