"""mmseg's data sets, checked when they are built."""

import cv2
import numpy as np
import pytest
from generated_data import write_dataset
from mmengine.registry import DefaultScope

from mmseg_custom.registry import DATASETS, SCOPE

PREFIX = {'img_path': 'images/training', 'seg_map_path': 'annotations/training'}
CONFIG = {'type': 'ADE20KDataset', 'data_prefix': PREFIX}


def test_empty_folder_is_an_error(tmp_path):
    (tmp_path / 'images/training').mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match='0 images in .*expected suffixes .jpg'):
        DATASETS.build({**CONFIG, 'data_root': str(tmp_path)})


def test_missing_mask_is_named(tmp_path):
    write_dataset(CONFIG, tmp_path, 150)
    (tmp_path / 'annotations/training/picture_1.png').unlink()
    with pytest.raises(FileNotFoundError, match='1 of 3 images.*picture_1.jpg'):
        DATASETS.build({**CONFIG, 'data_root': str(tmp_path)})


def test_same_samples_as_stock(tmp_path):
    write_dataset(CONFIG, tmp_path, 150)
    config = {**CONFIG, 'data_root': str(tmp_path), 'pipeline': []}
    ours = DATASETS.build(config)
    stock = DATASETS.build({**config, 'type': 'mmseg.ADE20KDataset'})
    assert type(ours) is not type(stock)
    assert ours.metainfo == stock.metainfo
    keys = stock[0].keys()
    assert [{key: ours[i][key] for key in keys} for i in range(3)] == [stock[i] for i in range(3)]


@pytest.mark.parametrize(
    ('name', 'metainfo', 'known', 'wrong', 'classes'),
    [
        ('ADE20KDataset', None, {0: 255, 1: 0, 150: 149, 255: 255}, 151, '150 classes are 1-150'),
        ('CityscapesDataset', None, {0: 0, 18: 18, 255: 255}, 33, '19 classes are 0-18'),
        (
            'CityscapesDataset',
            {'classes': ('car', 'road')},
            {0: 1, 13: 0, 7: 255, 18: 255, 255: 255},
            19,
            '2 classes are 0-13',
        ),
    ],
)
def test_label_of_no_class_is_named(tmp_path, name, metainfo, known, wrong, classes):
    path = tmp_path / 'a.png'
    with DefaultScope.overwrite_default_scope(SCOPE):
        config = dict(type=name, metainfo=metainfo, lazy_init=True)
        dataset = DATASETS.build(config)
    sample = dict(seg_map_path=str(path), reduce_zero_label=False, seg_fields=[])
    cv2.imwrite(str(path), np.array([list(known)], np.uint8))
    np.testing.assert_array_equal(dataset.mask_reader(sample), [list(known.values())])
    cv2.imwrite(str(path), np.array([[wrong, wrong, 1]], np.uint8))
    with pytest.raises(ValueError, match=rf'a.png holds {wrong} in 2 pixels, but the {classes} in'):
        dataset.mask_reader(sample)
