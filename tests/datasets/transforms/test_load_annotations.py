"""LoadAnnotations: what mmseg's class gives, by another way, and what that lets pass."""

import cv2
import numpy as np
import pytest
from mmseg.datasets.transforms import LoadAnnotations as StockLoadAnnotations
from PIL import Image

from mmseg_custom.datasets.transforms import LoadAnnotations

VALUES = np.arange(256, dtype=np.uint8).reshape(16, 16)


def sample(path, **keys):
    return {'seg_map_path': str(path), 'reduce_zero_label': False, 'seg_fields': [], **keys}


def save_palette(path):
    image = Image.fromarray(VALUES)
    image.putpalette([*range(256)] * 3)
    image.save(path)


@pytest.mark.parametrize('reduce', [False, True])
@pytest.mark.parametrize('label_map', [None, {0: 5, 5: 0, 7: 255, 254: 3, 255: 1}])
@pytest.mark.parametrize('options', [{}, {'imdecode_backend': 'cv2'}])
@pytest.mark.parametrize('kind', ['grey', 'palette', 'bit'])
def test_same_labels_as_mmseg(tmp_path, reduce, label_map, options, kind):
    path = tmp_path / 'm.png'
    if kind == 'palette':
        save_palette(path)
    else:
        Image.fromarray(VALUES if kind == 'grey' else VALUES % 3 > 0).save(path)
    if kind == 'palette' and options:
        pytest.skip('OpenCV applies the palette')
    keys = dict(reduce_zero_label=reduce, label_map=label_map)
    ours = LoadAnnotations(**options)(sample(path, **keys))
    stock = StockLoadAnnotations(**options)(sample(path, **keys))
    assert ours['gt_seg_map'].dtype == np.uint8
    np.testing.assert_array_equal(ours['gt_seg_map'], stock['gt_seg_map'])
    assert ours['seg_fields'] == stock['seg_fields'] == ['gt_seg_map']


def test_reader_of_the_data_set_comes_first(tmp_path):
    def reader(results):
        return np.full((2, 3), results['annotation'], np.uint8)

    results = LoadAnnotations()({'mask_reader': reader, 'annotation': 4, 'seg_fields': []})
    np.testing.assert_array_equal(results['gt_seg_map'], np.full((2, 3), 4))
    assert results['seg_fields'] == ['gt_seg_map']


def test_masks_that_mmseg_would_garble(tmp_path):
    path = tmp_path / 'm.png'
    cv2.imwrite(str(path), np.full((4, 4, 3), 9, np.uint8))
    with pytest.raises(ValueError, match=r'm.png is a mask of colours; expected one channel'):
        LoadAnnotations()(sample(path))
    cv2.imwrite(str(path), np.full((4, 4), 300, np.uint16))
    with pytest.raises(ValueError, match=r'm.png holds 300; expected class indices up to 255'):
        LoadAnnotations()(sample(path))
    cv2.imwrite(str(path), np.full((4, 4), 200, np.uint16))
    assert (LoadAnnotations()(sample(path))['gt_seg_map'] == 200).all()
    with pytest.raises(ValueError, match='has reduce_zero_label=True but the data set has False'):
        LoadAnnotations(reduce_zero_label=True)(sample(path))


@pytest.mark.parametrize(
    ('size', 'message'),
    [
        ((20, 10), r'm.png is 16x16 but a.jpg is 10x20; export the mask at the size of its'),
        ((16, 17), 'is 16x16 but a.jpg is 17x16'),
    ],
)
def test_size_of_the_picture(tmp_path, size, message):
    Image.fromarray(VALUES).save(tmp_path / 'm.png')
    keys = dict(ori_shape=size, img_path='a.jpg')
    with pytest.raises(ValueError, match=message):
        LoadAnnotations()(sample(tmp_path / 'm.png', **keys))
    assert LoadAnnotations()(sample(tmp_path / 'm.png', ori_shape=(16, 16)))['gt_seg_map'].any()


def test_turned_picture_is_suspected(tmp_path):
    Image.fromarray(VALUES[:4]).save(tmp_path / 'm.png')
    with pytest.raises(ValueError, match=r'16x4 but a is 4x16; .*may carry an EXIF rotation'):
        LoadAnnotations()(sample(tmp_path / 'm.png', ori_shape=(16, 4), img_path='a'))
