"""Folders of classes are read as they are, and what does not fit is said at once."""

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope

from mmseg_custom.datasets import ClassFolderDataset, QuickstartClassesDataset
from mmseg_custom.datasets.synthetic_classes import NUM_IMAGES
from mmseg_custom.datasets.synthetic_scene import SHAPES
from mmseg_custom.engine.class_count import dataset_metainfo
from mmseg_custom.registry import register_all

register_all()
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackClassInputs')]


@pytest.fixture
def root(tmp_path):
    """Two classes with one and two pictures in ``train``; one picture in ``val``."""
    for number, name in enumerate(
        ('train/dog/a.JPEG', 'train/cat/x.png', 'train/cat/deep/y.png', 'val/dog/z.png'), 1
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode('.png', np.full((4, 5, 3), number, np.uint8))[1].tobytes())
    (tmp_path / 'val/cat').mkdir()
    (tmp_path / 'train/cat/notes.txt').write_text('no picture')
    (tmp_path / 'train/.hidden').mkdir()
    return tmp_path


def test_classes_are_the_folders_in_order(root):
    init_default_scope('mmseg_custom')
    dataset = ClassFolderDataset(str(root), pipeline=PIPELINE)
    assert dataset.metainfo['classes'] == ('cat', 'dog')
    found = [(s['img_path'], s['gt_label']) for s in map(dataset.get_data_info, range(3))]
    assert found == [
        (str(root / 'train/cat/deep/y.png'), 0),
        (str(root / 'train/cat/x.png'), 0),
        (str(root / 'train/dog/a.JPEG'), 1),
    ]
    packed = dataset[2]
    assert packed['inputs'].shape == (3, 4, 5) and bool((packed['inputs'] == 1).all())
    sample = packed['data_samples']
    assert sample.gt_label.item() == 1 and sample.img_path == found[2][0]
    assert sample.ori_shape == (4, 5)


def test_validation_keeps_the_numbers_of_the_training_classes(root):
    """A class that ``val`` lacks must not shift those after it."""
    (root / 'val/cat').rmdir()
    dataset = ClassFolderDataset(str(root), split='val')
    assert len(dataset) == 1 and dataset.get_data_info(0)['gt_label'] == 1
    alone = ClassFolderDataset(str(root), split='val', metainfo=dict(classes=('bird', 'dog')))
    assert alone.get_data_info(0)['gt_label'] == 1
    config = dict(type='ClassFolderDataset', data_root=str(root), split='val', pipeline=[])
    assert dataset_metainfo(config)['classes'] == ('cat', 'dog')


def loose_pictures(root):
    (root / 'train/x.jpg').write_bytes(b'')
    return (
        {},
        ValueError,
        r'1 pictures lie in .*train itself \(x.jpg\); expected them in one sub-fo',
    )


def folder_without_class(root):
    (root / 'val/bird').mkdir()
    (root / 'val/bird/b.png').write_bytes(b'')
    return (
        dict(split='val'),
        ValueError,
        'no classes: bird; the 2 classes are the folders of .*train',
    )


def class_without_picture(root):
    (root / 'train/bird').mkdir()
    return {}, FileNotFoundError, '0 pictures of 1 classes in .*: bird; expected suffixes .jpg'


def no_folder(root):
    message = r'train does not exist; expected one sub-folder per class .*class_split=val'
    return dict(data_root=str(root / 'other')), FileNotFoundError, message


def one_class(root):
    return (
        dict(class_split='val/dog'),
        ValueError,
        '0 sub-folders; expected one per class, at least',
    )


@pytest.mark.parametrize(
    'case', [loose_pictures, folder_without_class, class_without_picture, no_folder, one_class]
)
def test_what_does_not_fit_is_said(root, case):
    arguments, error, message = case(root)
    with pytest.raises(error, match=message):
        ClassFolderDataset(**{'data_root': str(root), **arguments})


def test_generated_pictures(tmp_path_factory):
    root = tmp_path_factory.getbasetemp() / 'quickstart_classes'  # they take long to draw
    train, val = (QuickstartClassesDataset(str(root), split) for split in ('train', 'val'))
    assert train.metainfo['classes'] == SHAPES
    assert (len(train), len(val)) == (5 * NUM_IMAGES['train'], 5 * NUM_IMAGES['val'])
    labels = [val.get_data_info(i)['gt_label'] for i in range(len(val))]
    assert np.bincount(labels).tolist() == [NUM_IMAGES['val']] * 5
    pictures = {path.read_bytes() for path in root.rglob('*.jpg')}
    assert len(pictures) == len(train) + len(val), 'no two pictures are equal'
    changed = (root / 'val/disc/disc_000.jpg').stat().st_mtime_ns
    assert len(QuickstartClassesDataset(str(root), 'val')) == len(val)
    assert (root / 'val/disc/disc_000.jpg').stat().st_mtime_ns == changed, 'made once'
