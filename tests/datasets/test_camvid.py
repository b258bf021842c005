"""CamVidDataset: void never reaches the pipeline as 11."""

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmseg_custom.datasets import CamVidDataset
from mmseg_custom.registry import DATASETS, SCOPE

LOAD = [{'type': 'LoadAnnotations'}]
CLASSES = CamVidDataset.METAINFO['classes']


@pytest.fixture(autouse=True)
def own_scope():
    with DefaultScope.overwrite_default_scope(SCOPE):
        yield


@pytest.fixture
def camvid(tmp_path):
    """One picture whose mask holds each value once."""
    for folder in ('images/val', 'annotations/val'):
        (tmp_path / folder).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / 'images/val/x.jpg'), np.zeros((3, 4, 3), np.uint8))
    cv2.imwrite(
        str(tmp_path / 'annotations/val/x.png'), np.arange(12, dtype=np.uint8).reshape(3, 4)
    )
    return str(tmp_path)


def labels(**options):
    config = {'type': 'CamVidDataset', 'split': 'val', 'pipeline': LOAD, **options}
    return DATASETS.build(config)[0]['gt_seg_map'].ravel().tolist()


def test_void_becomes_255(camvid):
    assert labels(data_root=camvid) == [*range(11), 255]
    assert CamVidDataset.METAINFO['classes'][0] == 'sky'
    assert len(CamVidDataset.METAINFO['classes']) == len(CamVidDataset.METAINFO['palette']) == 11


def test_void_becomes_255_also_when_classes_are_selected(camvid):
    chosen = ('car', 'road')
    expected = [255] * 12
    expected[CLASSES.index('car')], expected[CLASSES.index('road')] = 0, 1
    assert labels(data_root=camvid, metainfo={'classes': chosen}) == expected
    dataset = CamVidDataset(camvid, 'val', metainfo={'classes': chosen})
    assert dataset.metainfo['palette'] == [[64, 0, 128], [128, 64, 128]]


def test_all_classes_in_another_order_keep_their_colours(camvid):
    dataset = CamVidDataset(camvid, 'val', metainfo={'classes': CLASSES[::-1]})
    assert dataset.metainfo['palette'] == CamVidDataset.METAINFO['palette'][::-1]
    reverse = labels(data_root=camvid, metainfo={'classes': CLASSES[::-1]})
    assert reverse == [*range(10, -1, -1), 255]


def test_arguments_that_contradict_the_data_set(camvid):
    with pytest.raises(ValueError, match='would drop the class sky'):
        CamVidDataset(camvid, 'val', reduce_zero_label=True)
    with pytest.raises(ValueError, match='void value of CamVid masks is 11'):
        CamVidDataset(camvid, 'val', ignore_index=255)
    with pytest.raises(FileNotFoundError, match=r'train does not exist; .* has folders val'):
        CamVidDataset(camvid, 'train')


@pytest.mark.shared_data
def test_the_real_pictures(shared_data):
    root = shared_data / 'camvid'
    if not root.is_dir():
        pytest.skip(f'no CamVid at {root}')
    sizes = {s: len(CamVidDataset(str(root), s)) for s in ('train', 'val', 'test')}
    assert sizes == {'train': 367, 'val': 101, 'test': 233}
    dataset = CamVidDataset(str(root), 'val', pipeline=[{'type': 'LoadImageFromFile'}, *LOAD])
    counts = sum(
        np.bincount(dataset[i]['gt_seg_map'].ravel(), minlength=256) for i in range(len(dataset))
    )
    # Pixel counts of val as the data's README lists them: sky, building, bicyclist, void.
    assert counts[[0, 1, 10]].tolist() == [1601620, 4531180, 387010]
    assert counts[255] == 297271
    assert counts[11:255].sum() == 0
    assert dataset[0]['img'].shape == (360, 480, 3)
