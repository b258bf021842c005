"""Masks of every kind are read as they are in the file."""

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg_custom.datasets.mask_files import read_mask

GREY = np.array([[0, 1, 2], [7, 254, 255]], np.uint8)
COLOURS = np.stack([GREY, GREY[::-1], 255 - GREY], -1)
DEEP = GREY.astype(np.uint16) * 257


def palette_image():
    image = Image.fromarray(GREY).convert('L')
    image.putpalette([*range(0, 30), *[0] * 735, 9, 8, 7])
    return image


def with_alpha(pixels, alpha=255):
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return np.concatenate([pixels, np.full((2, 3, 1), alpha, np.uint8)], -1)


@pytest.mark.parametrize(
    ('image', 'suffix', 'kind', 'expected'),
    [
        (GREY, '.png', 'index', GREY),
        (GREY, '.bmp', 'index', GREY),
        (GREY, '.tif', 'index', GREY),
        (GREY > 1, '.png', 'index', (GREY > 1).astype(np.uint8)),
        (DEEP, '.png', '16-bit', DEEP),
        (DEEP, '.tif', '16-bit', DEEP),
        (DEEP.astype(np.int32), '.tif', '16-bit', DEEP),
        (COLOURS, '.png', 'rgb', COLOURS),
        (COLOURS, '.tif', 'rgb', COLOURS),
        (with_alpha(COLOURS, 9), '.png', 'rgb', COLOURS),
        (with_alpha(GREY), '.png', 'index', GREY),
        (palette_image(), '.png', 'palette', GREY),
        (palette_image(), '.tif', 'palette', GREY),
    ],
)
def test_pixels_are_those_of_the_file(tmp_path, image, suffix, kind, expected):
    path = tmp_path / f'Maß{suffix}'
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path)
    mask = read_mask(path)
    assert mask.kind == kind
    assert mask.pixels.dtype == expected.dtype
    np.testing.assert_array_equal(mask.pixels, expected)
    assert (mask.palette is not None) == (kind == 'palette')
    if kind == 'palette':
        np.testing.assert_array_equal(mask.palette[[0, 1, 7]], [[0, 1, 2], [3, 4, 5], [21, 22, 23]])
        np.testing.assert_array_equal(mask.palette[255], [9, 8, 7])


@pytest.mark.parametrize(
    ('write', 'message'),
    [
        (lambda path: path.touch(), r'm.png is empty \(0 bytes\); expected a mask, write it again'),
        (lambda path: path.write_text('hello'), r'cannot read .*m.png as a mask .*expected PNG'),
        (lambda path: cut(path), r'cannot read .*m.png as a mask \(.*truncated.*write it again'),
        (
            lambda path: Image.fromarray(COLOURS).convert('CMYK').save(path, 'tiff'),
            r'm.png is a picture of mode CMYK; expected one channel .*save it as PNG',
        ),
        (
            lambda path: Image.fromarray(GREY.astype(np.float32)).save(path, 'tiff'),
            'is a picture of mode F; expected one channel',
        ),
        (
            lambda path: Image.fromarray(DEEP.astype(np.int32) - 5).save(path, 'tiff'),
            'holds -5 to 65530; expected values 0-65535',
        ),
        (
            lambda path: cv2.imwrite(str(path), np.dstack([DEEP] * 3)),
            r'm.png has 16 bits per colour; expected 8, save it as 8-bit RGB',
        ),
        (
            lambda path: Image.fromarray(np.dstack([COLOURS, GREY])).save(path),
            r'has an alpha channel with values 0 to 255; expected .*remove the channel',
        ),
    ],
)
def test_what_is_no_mask_is_one_line(tmp_path, write, message):
    write(tmp_path / 'm.png')
    with pytest.raises(ValueError, match=message) as caught:
        read_mask(tmp_path / 'm.png')
    assert '\n' not in str(caught.value)


def cut(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 9, (64, 64), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-300])
