import multiprocessing

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg_custom.visualization.rendering import (
    blend,
    class_borders,
    class_map_image,
    class_shares,
    paint,
    write_image,
)

PALETTE = [(255, 0, 0), (0, 128, 0), (10, 20, 30)]


def test_class_map_png_holds_indices_and_looks_coloured(tmp_path):
    class_map = np.array([[0, 1, 2], [2, 255, 0]], np.uint8)
    path = write_image(tmp_path / 'map.png', class_map_image(class_map, PALETTE))
    read = Image.open(path)
    assert read.mode == 'P'
    np.testing.assert_array_equal(np.asarray(read), class_map)
    white = (255, 255, 255)
    expected = [[PALETTE[0], PALETTE[1], PALETTE[2]], [PALETTE[2], white, PALETTE[0]]]
    np.testing.assert_array_equal(np.asarray(read.convert('RGB')), np.array(expected))


@pytest.mark.parametrize('num_classes', [2, 16, 150, 256])
def test_class_map_png_keeps_every_index(tmp_path, num_classes):
    palette = [(i, 255 - i, i // 2) for i in range(num_classes)]
    class_map = np.arange(num_classes, dtype=np.int64).reshape(1, -1)
    picture = class_map_image(class_map, palette, ignore_index=None)
    path = write_image(tmp_path / 'map.png', picture)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), class_map)
    np.testing.assert_array_equal(np.asarray(Image.open(path).convert('RGB'))[0], palette)


def test_pictures_are_rgb(tmp_path):
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[..., 0], picture[..., 2] = 200, 7
    path = write_image(tmp_path / 'new' / 'picture.png', picture)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
    np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], picture)
    assert [file.name for file in path.parent.iterdir()] == ['picture.png']


def test_paint():
    np.testing.assert_array_equal(
        paint(np.array([[2, 9]]), PALETTE, ignore_index=9), [[PALETTE[2], (255, 255, 255)]]
    )
    # Without an ignore value every index is a class, also 255.
    colours = [(0, 0, i) for i in range(256)]
    every_index = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_array_equal(paint(every_index, colours, ignore_index=None)[0], colours)


def test_blend_is_the_weighted_mean():
    image = np.full((3, 4, 3), (100, 50, 201), np.uint8)
    class_map = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 255]])
    blended = blend(image, class_map, PALETTE, opacity=0.25, border=0)
    assert blended[0, 0].tolist() == [139, 38, 151]  # 0.75 * image + 0.25 * (255, 0, 0), rounded
    assert blended[0, 2].tolist() == [75, 70, 151]
    assert blended[2, 3].tolist() == [100, 50, 201]  # unlabelled: the picture
    np.testing.assert_array_equal(blend(image, class_map, PALETTE, 0, border=0), image)
    labelled = class_map != 255
    np.testing.assert_array_equal(
        blend(image, class_map, PALETTE, 1, border=0)[labelled],
        paint(class_map, PALETTE)[labelled],
    )


def test_borders_lie_between_classes():
    class_map = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 2, 2]])
    expected = np.array([[0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
    np.testing.assert_array_equal(class_borders(class_map), expected)
    # A thicker line is centred on the border.
    assert class_borders(class_map, 2)[0].tolist() == [False, True, True, False]
    assert class_borders(class_map, 2)[1:].all()
    assert not class_borders(np.zeros((5, 5), np.uint8), 3).any()
    image = np.zeros((3, 4, 3), np.uint8)
    assert (blend(image, class_map, PALETTE)[expected] == 255).all()


def test_class_shares_count_labelled_pixels_only():
    class_map = np.array([[0, 0, 2, 255], [0, 2, 2, 255]])
    assert class_shares(class_map, 3).tolist() == [0.5, 0.0, 0.5]
    assert class_shares(np.full((2, 2), 255), 3).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ('class_map', 'message'),
    [
        (np.array([[0, 11], [0, 11]]), r'holds 11 \(first at row 0, column 1, 2 pixels.*0\.\.2'),
        (np.array([[0, -1]]), 'holds -1'),
        (np.zeros((2, 2), np.float32), 'float32'),
        (np.zeros((1, 2, 2), np.uint8), r'\(1, 2, 2\)'),
        (np.zeros((0, 2), np.uint8), r'\(0, 2\)'),
    ],
)
def test_wrong_class_maps(class_map, message):
    with pytest.raises(ValueError, match=message):
        paint(class_map, PALETTE)


def test_wrong_pictures_and_palettes():
    image, class_map = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8)
    with pytest.raises(ValueError, match='float64'):
        blend(image / 255, class_map, PALETTE)
    with pytest.raises(ValueError, match=r'\(2, 2\).*\(2, 3\).*nearest'):
        blend(image, np.zeros((2, 3), np.uint8), PALETTE)
    with pytest.raises(ValueError, match=r'opacity=1\.5'):
        blend(image, class_map, PALETTE, opacity=1.5)
    with pytest.raises(ValueError, match=r'0\.\.255'):
        paint(class_map, [(0, 0, 256)])
    with pytest.raises(ValueError, match='red, green, blue'):
        paint(class_map, [(0.5, 0.5, 0.5)])
    with pytest.raises(ValueError, match='257'):
        class_map_image(class_map, [(0, 0, 0)] * 257)


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = write_image(tmp_path / 'picture.png', np.full((2, 2, 3), 9, np.uint8))
    with pytest.raises(ValueError, match='uint8'):
        write_image(path, np.zeros((2, 2), np.uint8))
    assert np.asarray(Image.open(path)).max() == 9


def write_often(path, value):
    for _ in range(200):
        write_image(path, np.full((2, 2, 3), value, np.uint8))


def test_two_processes_write_the_same_file(tmp_path):
    """As a distributed test does with the pictures that its sampler repeats."""
    context = multiprocessing.get_context('spawn')
    processes = [
        context.Process(target=write_often, args=(tmp_path / 'p.png', i)) for i in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ['p.png']
