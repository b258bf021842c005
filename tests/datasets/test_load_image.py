"""``LoadImageFromFile``: mmcv's pixels, reduced scales, errors in one line."""

import cv2
import mmcv
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile as Upstream
from PIL import Image

from mmseg_custom.datasets.transforms.load_image import LoadImageFromFile, jpeg_size

SIZE = (61, 93)


def photograph(size: tuple[int, int] = SIZE) -> np.ndarray:
    generator = np.random.default_rng(0)
    coarse = generator.integers(60, 196, (8, 8, 3)).astype(np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def write(path, picture=None, orientation: int | None = None, **options) -> str:
    image = Image.fromarray(photograph() if picture is None else picture)
    if orientation:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options['exif'] = exif
    image.save(path, **options)
    return str(path)


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp'])
@pytest.mark.parametrize('color_type', ['color', 'grayscale', 'unchanged'])
@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_pixels_are_mmcvs(tmp_path, suffix, color_type, backend):
    path = write(tmp_path / f'größe{suffix}')
    options = dict(color_type=color_type, imdecode_backend=backend)
    ours, theirs = (cls(**options)({'img_path': path}) for cls in (LoadImageFromFile, Upstream))
    np.testing.assert_array_equal(ours['img'], theirs['img'])
    assert ours['img'].dtype == theirs['img'].dtype == np.uint8
    assert ours['img_shape'] == theirs['img_shape'] == ours['ori_shape'] == SIZE


@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
@pytest.mark.parametrize('color_type', ['color', 'color_ignore_orientation'])
def test_pictures_are_turned_as_mmcv_turns_them(tmp_path, orientation, color_type):
    path = write(tmp_path / 'turned.jpg', orientation=orientation)
    load, stock = LoadImageFromFile(color_type=color_type), Upstream(color_type=color_type)
    whole = load({'img_path': path})
    np.testing.assert_array_equal(whole['img'], stock({'img_path': path})['img'])
    is_upright = color_type == 'color'
    assert whole['img_shape'] == (SIZE[::-1] if is_upright and orientation > 4 else SIZE)
    content = (tmp_path / 'turned.jpg').read_bytes()
    assert jpeg_size(content, is_upright) == whole['img_shape']
    height, width = whole['img_shape']
    small = load({'img_path': path, 'decode_target': (width // 2, height // 2)})
    assert small['img_shape'] == (-(-height // 2), -(-width // 2))
    assert small['ori_shape'] == whole['ori_shape']


# Sides of 61 and 93 pixels: halves are 31 and 47, quarters 16 and 24, eighths 8 and 12.
@pytest.mark.parametrize(
    ('target', 'shape'),
    [
        ((93, 61), (61, 93)),
        ((48, 20), (61, 93)),
        ((47, 31), (31, 47)),
        ((25, 10), (31, 47)),
        ((24, 16), (16, 24)),
        ((5, 5), (8, 12)),
    ],
)
def test_a_reduced_picture_is_not_smaller_than_its_target(tmp_path, target, shape):
    path = write(tmp_path / 'picture.jpg', quality=95)
    found = LoadImageFromFile()({'img_path': path, 'decode_target': target})
    assert found['img'].shape == (*shape, 3) == (*found['img_shape'], 3)
    assert found['ori_shape'] == SIZE
    times = -(-SIZE[0] // shape[0])
    rows, columns = SIZE[0] // times, SIZE[1] // times
    blocks = mmcv.imread(path)[: rows * times, : columns * times].astype(int)
    means = blocks.reshape(rows, times, columns, times, 3).mean((1, 3))
    assert np.abs(means - found['img'][:rows, :columns]).mean() < 2


@pytest.mark.parametrize('options', [{'imdecode_backend': 'pillow'}, {'color_type': 'unchanged'}])
def test_what_cannot_be_reduced_comes_whole(tmp_path, options):
    jpeg, png = write(tmp_path / 'a.jpg'), write(tmp_path / 'a.png')
    load = LoadImageFromFile(**options)
    assert load({'img_path': jpeg, 'decode_target': (5, 5)})['img_shape'] == SIZE
    assert LoadImageFromFile()({'img_path': png, 'decode_target': (5, 5)})['img_shape'] == SIZE


def test_other_files_and_types(tmp_path):
    path = write(tmp_path / 'a.jpg')
    found = LoadImageFromFile(to_float32=True, backend_args={'backend': 'local'})
    image = found({'img_path': path})['img']
    assert image.dtype == np.float32 and np.array_equal(image, mmcv.imread(path))


@pytest.mark.parametrize(
    ('content', 'error', 'reason'),
    [
        (None, FileNotFoundError, 'No such file or directory'),
        (b'', ValueError, 'the file is empty'),
        (b'no picture at all', ValueError, 'cv2 finds no picture in 17 bytes'),
        (b'\xff\xd8\xff\xe0', ValueError, 'cv2 finds no picture in 4 bytes'),
    ],
)
def test_an_unreadable_file_is_named_with_the_reason(tmp_path, content, error, reason):
    path = tmp_path / 'bad.jpg'
    if content is not None:
        path.write_bytes(content)
    sample = {'img_path': str(path), 'decode_target': (8, 8)}
    with pytest.raises(error) as caught:
        LoadImageFromFile()(sample)
    expected = f'cannot read the picture {path}: {reason}; replace the file or leave it out'
    assert str(caught.value) == expected
    assert LoadImageFromFile(ignore_empty=True)(sample) is None
