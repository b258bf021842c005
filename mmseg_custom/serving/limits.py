"""What a request may cost, and pictures from strangers, decoded within it."""

import io
from dataclasses import dataclass, fields

import numpy as np
from PIL import Image, ImageOps

FORMATS = ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP')
KNOWN_FORMATS = 'JPEG, PNG, WebP, TIFF or BMP'
# Modes of 8 bits and below; the others would have to be scaled by a guess.
MODES = ('1', 'L', 'LA', 'P', 'PA', 'RGB', 'RGBA', 'RGBX', 'CMYK', 'YCbCr')
# Each scan of a progressive JPEG goes over the whole picture, in a few bytes; encoders write 10.
MAX_SCANS = 100
START_OF_SCAN = b'\xff\xda'
# Above it Pillow refuses by itself.
MOST_PIXELS = 2 * Image.MAX_IMAGE_PIXELS
TIFF_TILE_WIDTH, TIFF_TILE_HEIGHT = 322, 323


@dataclass(frozen=True)
class Limits:
    """What one request, and all of them together, may cost.

    Attributes:
        max_bytes: of a request's body.
        max_pixels: of a picture, before it is decoded.
        max_regions: of an answer; the largest stay.
        max_requests: in work at once, those whose body arrives included; more get status 429.
        read_seconds: until the head of a request, and then its body, must have arrived.
        max_seconds: from the whole body to the answer.
        batch_size: pictures of one size that go through the network at once.
        batch_wait_ms: how long a batch waits for pictures that are on their way.

    Raises:
        ValueError: one of them is not positive, or there may be more pixels than Pillow decodes.
    """

    max_bytes: int = 16 * 2**20
    max_pixels: int = 2**24
    max_regions: int = 500
    max_requests: int = 32
    read_seconds: float = 15.0
    max_seconds: float = 30.0
    batch_size: int = 4
    batch_wait_ms: float = 5.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            # No time to wait is a choice.
            if value < 0 or (value == 0 and field.name != 'batch_wait_ms'):
                raise ValueError(f'{field.name} is {value}; expected a number above 0')
        if self.max_pixels > MOST_PIXELS:
            raise ValueError(f'max_pixels is {self.max_pixels}; expected at most {MOST_PIXELS}')


class RefusedError(ValueError):
    """A request that is not served, with the HTTP status that says why.

    Args:
        status: 4xx or 503.
        reason: one line: what was expected, what came, the fix.
        headers: of the answer.
    """

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(' '.join(reason.split()))
        self.status, self.headers = status, headers


def decode_picture(content: bytes, limits: Limits) -> np.ndarray:
    """Decode a picture by its content, in memory, after its header has been checked.

    The first frame counts; it is turned as its Exif says, and transparency is left out, as
    :func:`mmseg_custom.inference.predictor.read_image` does.

    Args:
        content: of the file.
        limits: of bytes and pixels.

    Returns:
        RGB uint8 (H, W, 3).

    Raises:
        RefusedError: 400 empty, 413 too large, 415 no picture of a known format, 422 damaged.
    """
    if not content:
        raise RefusedError(400, 'the picture is empty; send the bytes of a file')
    if len(content) > limits.max_bytes:
        raise too_many_bytes(limits)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            _check_header(picture, content, limits)
            ImageOps.exif_transpose(picture, in_place=True)
            return np.asarray(picture.convert('RGB'))
    except RefusedError:
        raise
    except Image.UnidentifiedImageError as error:
        raise RefusedError(415, f'not a picture; expected {KNOWN_FORMATS}') from error
    except Image.DecompressionBombError as error:
        raise RefusedError(413, _too_many_pixels('the picture', limits)) from error
    # Decoders raise nearly everything on damaged files: SyntaxError, struct.error, EOFError ...
    except Exception as error:
        raise RefusedError(
            422, f'the picture is damaged ({type(error).__name__}: {error}); send a complete file'
        ) from error


def too_many_bytes(limits: Limits) -> RefusedError:
    """What to say of a body that is too long."""
    return RefusedError(413, f'the body has more than {limits.max_bytes} bytes; send a smaller one')


def _check_header(picture: Image.Image, content: bytes, limits: Limits) -> None:
    width, height = picture.size
    if width * height > limits.max_pixels:
        raise RefusedError(413, _too_many_pixels(f'a picture of {width}x{height}', limits))
    if picture.format == 'TIFF':
        # A tile is decoded as a whole, however small the picture is.
        tile = [picture.tag_v2.get(tag, 1) for tag in (TIFF_TILE_WIDTH, TIFF_TILE_HEIGHT)]
        if tile[0] * tile[1] > limits.max_pixels:
            raise RefusedError(413, _too_many_pixels(f'a tile of {tile[0]}x{tile[1]}', limits))
    if picture.mode not in MODES:
        raise RefusedError(
            415, f'the picture has pixels of kind {picture.mode!r}; expected 8 bits per channel'
        )
    # MPO is a JPEG with a second one behind it, as phones write it.
    if picture.format in ('JPEG', 'MPO') and content.count(START_OF_SCAN) > MAX_SCANS:
        raise RefusedError(422, f'the JPEG has more than {MAX_SCANS} scans; save it again')


def _too_many_pixels(what: str, limits: Limits) -> str:
    return f'{what} has more than {limits.max_pixels} pixels; send a smaller one'
