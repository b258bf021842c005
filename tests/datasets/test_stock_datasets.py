"""mmseg's data sets, checked when they are built."""

import pytest
from generated_data import write_dataset

from mmseg_custom.registry import DATASETS

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
    assert [ours[i] for i in range(3)] == [stock[i] for i in range(3)]
