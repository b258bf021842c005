import numpy as np
import pytest
from hostile_pictures import HTML, SVG, bomb, gif, jpeg, scan_bomb, sixteen_bits, tile_bomb
from PIL import Image
from real_server import png

from mmseg_custom.inference.predictor import read_image
from mmseg_custom.serving.limits import Limits, RefusedError, decode_picture

LIMITS = Limits()


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'BMP', 'WEBP'])
def test_a_lossless_file_gives_its_pixels(picture, kind):
    options = dict(lossless=True) if kind == 'WEBP' else {}
    found = decode_picture(png(picture, kind, **options), LIMITS)
    np.testing.assert_array_equal(found, picture)


@pytest.mark.parametrize('turned', [False, True])
def test_a_jpeg_is_what_the_inferencer_reads(inferencer, picture, tmp_path, turned):
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    content = png(picture, 'JPEG', exif=exif)
    path = tmp_path / 'a.jpg'
    path.write_bytes(content)
    found = decode_picture(content, LIMITS)
    assert found.shape == ((90, 61, 3) if turned else (61, 90, 3))
    np.testing.assert_array_equal(found, read_image(inferencer.model, path))


def test_grey_and_transparent_pictures_become_rgb(picture):
    grey = picture[..., 0]
    np.testing.assert_array_equal(decode_picture(png(grey), LIMITS), grey[..., None].repeat(3, 2))
    clear = np.dstack([picture, np.zeros_like(grey)])
    np.testing.assert_array_equal(decode_picture(png(clear), LIMITS), picture)


@pytest.mark.parametrize(
    ('content', 'status', 'reason'),
    [
        (lambda: b'', 400, 'the picture is empty'),
        (bomb, 413, 'the picture has more than 16777216 pixels'),
        (lambda: bomb(6000), 413, 'a picture of 6000x6000 has more than 16777216 pixels'),
        (tile_bomb, 413, 'a tile of 8192x8192'),
        (lambda: bytes(LIMITS.max_bytes + 1), 413, 'more than 16777216 bytes'),
        (lambda: SVG, 415, 'not a picture; expected JPEG, PNG, WebP, TIFF or BMP'),
        (lambda: HTML, 415, 'not a picture'),
        (gif, 415, 'not a picture'),
        (sixteen_bits, 415, 'expected 8 bits per channel'),
        (scan_bomb, 422, 'more than 100 scans'),
        (lambda: jpeg()[:800], 422, 'the picture is damaged'),
        (lambda: png(np.zeros((99, 99), np.uint8))[:-40], 422, 'the picture is damaged'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_what_is_not_decoded(content, status, reason):
    with pytest.raises(RefusedError, match=reason) as refused:
        decode_picture(content(), LIMITS)
    assert refused.value.status == status


def test_damaged_bytes_are_refused_or_decoded(picture):
    """And nothing else happens."""
    generator = np.random.default_rng(0)
    refused = 0
    for content in (jpeg(), png(picture), png(picture, 'TIFF'), png(picture, 'WEBP')):
        for _ in range(50):
            damaged = np.frombuffer(content, np.uint8).copy()
            places = generator.integers(4, len(damaged), 8)
            damaged[places] = generator.integers(0, 256, 8)
            try:
                assert decode_picture(damaged.tobytes(), LIMITS).dtype == np.uint8
            except RefusedError as error:
                assert 400 <= error.status < 500 and '\n' not in str(error)
                refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    'wrong', [dict(max_pixels=0), dict(max_pixels=10**9), dict(batch_wait_ms=-1)]
)
def test_limits_have_bounds(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        Limits(**wrong)
    assert Limits(batch_wait_ms=0).batch_wait_ms == 0
