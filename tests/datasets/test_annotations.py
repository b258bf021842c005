"""Annotations that are no mask files: what the pipeline gets, and what is said of bad ones."""

import json
import pickle
import sys

import cv2
import numpy as np
import pytest
from annotation_files import (
    SIZE,
    boxes,
    coco_entry,
    labelme_shape,
    points,
    square,
    write_coco,
    write_labelme,
    write_picture,
    write_text,
    write_yolo,
)
from matplotlib.path import Path as Outline
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from PIL import Image

from mmseg_custom.datasets import FolderDataset
from mmseg_custom.datasets.annotations import detect
from mmseg_custom.datasets.annotations.rasterising import circle, decode_rle, fill_polygon
from mmseg_custom.registry import SCOPE

coco_masks = pytest.importorskip('pycocotools.mask')


LOAD = [{'type': 'LoadImageFromFile'}, {'type': 'LoadAnnotations'}]


@pytest.fixture(autouse=True)
def own_scope():
    with DefaultScope.overwrite_default_scope(SCOPE):
        yield


def label_maps(dataset) -> list[np.ndarray]:
    """What the data set's readers draw, after a journey to another process."""
    samples = [pickle.loads(pickle.dumps(dataset.get_data_info(i))) for i in range(len(dataset))]
    return [sample['mask_reader'](sample) for sample in samples]


def drawn(region, size) -> np.ndarray:
    top, left, inside = region
    labels = np.zeros(size, bool)
    labels[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return labels


def random_outline(generator) -> np.ndarray:
    """A star-shaped polygon, partly outside a picture of 120x100."""
    angles = np.sort(generator.uniform(0, 2 * np.pi, generator.integers(3, 40)))
    radii = generator.uniform(3, 50) * generator.uniform(0.4, 1, len(angles))
    directions = np.stack([np.cos(angles), np.sin(angles)], -1)
    return generator.uniform(0, (120, 100)) + directions * radii[:, None]


def test_pixels_of_an_outline_are_those_whose_centres_lie_inside():
    generator, size = np.random.default_rng(0), (100, 120)
    rows, columns = np.indices(size) + 0.5
    centres = np.stack([columns.ravel(), rows.ravel()], -1)
    differing = own = reference = 0
    for _ in range(60):
        outline = random_outline(generator)
        found = drawn(fill_polygon(outline, size), size)
        np.testing.assert_array_equal(found.ravel(), Outline(outline).contains_points(centres))
        # pycocotools distorts what reaches beyond the picture, and rounds to fifths of a pixel.
        moved = (outline + 60).ravel().tolist()
        coded = coco_masks.frPyObjects([moved], size[0] + 120, size[1] + 120)
        theirs = coco_masks.decode(coded)[60:-60, 60:-60, 0].astype(bool)
        differing += (found != theirs).sum()
        own, reference = own + found.sum(), reference + theirs.sum()
    assert differing < 0.01 * reference
    assert abs(own - reference) < 0.002 * reference


def test_circle_keeps_its_area():
    inside = fill_polygon(circle((50, 40), 30.3), (80, 100))[2]
    assert abs(inside.sum() - np.pi * 30.3**2) < 0.003 * np.pi * 30.3**2


def test_run_lengths_are_exact():
    labels = np.random.default_rng(1).random((37, 23)) < 0.3
    coded = coco_masks.encode(np.asfortranarray(labels.astype(np.uint8)))
    compressed = {'size': [37, 23], 'counts': coded['counts'].decode()}
    np.testing.assert_array_equal(decode_rle(compressed), labels)
    column_wise = labels.T.ravel().astype(int)
    runs = np.diff(np.flatnonzero(np.diff(column_wise, prepend=0, append=-1)), prepend=0)
    plain = {'size': [37, 23], 'counts': runs.tolist()}
    np.testing.assert_array_equal(decode_rle(plain), labels)


def test_yolo_polygons(tmp_path):
    lines = f'1 {" ".join(map(str, np.divide(square(4, 6, 12, 18), [32, 24] * 4)))}\n\n'
    write_yolo(tmp_path, {'a': lines, 'sub/b': None, 'c': ''})
    dataset = FolderDataset(str(tmp_path))
    assert dataset.metainfo['classes'] == ('background', 'road', 'car')
    first, *others = label_maps(dataset)
    np.testing.assert_array_equal(first, boxes((2, (4, 6, 12, 18))))
    assert [labels.any() for labels in others] == [False, False]


@pytest.mark.parametrize(
    ('names', 'classes', 'expected', 'values'),
    [
        (['cell'], None, ('background', 'cell'), (0, 1)),
        (['cell', 'Background'], None, ('cell', 'background'), (1, 0)),
        (['cell'], ('other', 'cell'), ('other', 'cell'), (255, 1)),
        (['cell'], ('other', 'cell', 'background'), ('other', 'cell', 'background'), (2, 1)),
    ],
)
def test_pixels_without_object(tmp_path, names, classes, expected, values):
    """Background comes first, unless the file has it, or the user names classes without it."""
    write_yolo(tmp_path, {'a': '0 0 0 0.5 0 0.5 1 0 1'}, names=names)
    dataset = FolderDataset(str(tmp_path), metainfo=classes and {'classes': classes})
    assert dataset.metainfo['classes'] == expected
    half = boxes((values[1], (0, 0, 16, 24)), fill=values[0])
    np.testing.assert_array_equal(label_maps(dataset)[0], half)


def test_pictures_that_are_stored_turned(tmp_path):
    write_yolo(tmp_path, {'a': '0 0 0 0.5 0 0.5 1 0 1'}, names=['cell'])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', SIZE[::-1]).save(tmp_path / 'images/train/a.png', exif=exif)
    dataset = FolderDataset(str(tmp_path), pipeline=LOAD)
    half = boxes((1, (0, 0, 12, 32)), size=SIZE[::-1])
    np.testing.assert_array_equal(label_maps(dataset)[0], half)
    loaded = dataset[0]
    assert loaded['img'].shape[:2] == half.shape
    np.testing.assert_array_equal(loaded['gt_seg_map'], half)


def test_what_says_where_masks_are_goes_before_annotations(tmp_path):
    write_coco(tmp_path, coco_example())
    write_text(tmp_path / 'dataset.yaml', 'classes: [dog, cat]\nmasks: labels/{split}')
    with pytest.raises(FileNotFoundError, match=r'labels.train does not exist'):
        FolderDataset(str(tmp_path))


def test_ultralytics_masks(tmp_path):
    mapping = {'label_mapping': {7: 0, 11: 1, 0: 'ignore_label', -1: 'ignore_label'}}
    write_yolo(tmp_path, {'a': None}, masks_dir='labels_png', **mapping)
    write_picture(tmp_path / 'labels_png/train/a.png')
    cv2.imwrite(str(tmp_path / 'labels_png/train/a.png'), boxes((7, (0, 0, 9, 9)), fill=11))
    (tmp_path / 'data.yaml').rename(tmp_path / 'dataset.yaml')
    dataset = FolderDataset(str(tmp_path), pipeline=LOAD)
    assert dataset.metainfo['classes'] == ('road', 'car')
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], boxes((0, (0, 0, 9, 9)), fill=1))


def test_exported_paths_of_ultralytics(tmp_path):
    """``path`` of another machine, ``../train/images``, a list of pictures."""
    write_yolo(tmp_path, {'a': ''}, train='../images/train')
    assert len(detect(tmp_path, 'train').samples) == 1
    write_text(tmp_path / 'list.txt', './images/train/a.png\n')
    write_yolo(tmp_path, {'a': ''}, train='list.txt')
    assert detect(tmp_path, 'train').samples[0]['img_path'] == str(tmp_path / 'images/train/a.png')


def coco_example():
    """Overlapping objects in every coding, with a crowd below them and a part within a part."""
    plain = boxes((1, (20, 2, 30, 20)))
    runs = np.diff(np.flatnonzero(np.diff(plain.T.ravel().astype(int), prepend=0)), prepend=0)
    runs = [*runs.tolist(), plain.size - int(runs.sum())]
    crowd = coco_masks.encode(np.asfortranarray(boxes((1, (0, 0, 32, 12)))))
    crowd = {'size': [*SIZE], 'counts': crowd['counts'].decode()}
    return [
        coco_entry(1, [square(5, 5, 9, 9)], 3),
        coco_entry(2, [square(2, 2, 16, 14), square(4, 3, 8, 6), square(2, 16, 6, 20)], 7),
        coco_entry(3, crowd, 3, iscrowd=1),
        coco_entry(4, {'size': [*SIZE], 'counts': runs}, 7, iscrowd=0),
    ]


COCO_LABELS = boxes(
    *((1, (0, 0, 32, 12)), (2, (20, 2, 30, 20)), (2, (2, 2, 16, 14)), (2, (2, 16, 6, 20))),
    (1, (5, 5, 9, 9)),
)


def test_coco(tmp_path):
    write_coco(tmp_path, coco_example(), files=('a.png', 'sub/b.png'))
    dataset = FolderDataset(str(tmp_path))
    assert dataset.metainfo['classes'] == ('background', 'cat', 'dog')
    first, second = label_maps(dataset)
    np.testing.assert_array_equal(first, COCO_LABELS)
    assert not second.any()
    loaded = FolderDataset(str(tmp_path), pipeline=LOAD)[0]
    np.testing.assert_array_equal(loaded['gt_seg_map'], COCO_LABELS)


def test_only_compressed_run_lengths_need_pycocotools(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycocotools', None)
    write_coco(tmp_path, [*coco_example()[:2], coco_example()[3]])
    assert label_maps(FolderDataset(str(tmp_path)))[0].any()
    write_coco(tmp_path, coco_example())
    with pytest.raises(ModuleNotFoundError, match=r'need pycocotools; run: pip install pycocot'):
        FolderDataset(str(tmp_path))


def test_coco_with_the_classes_of_dataset_yaml(tmp_path):
    write_coco(tmp_path, coco_example())
    write_text(tmp_path / 'dataset.yaml', 'classes: [dog, cat]\npalette: [[1, 2, 3], [4, 5, 6]]')
    dataset = FolderDataset(str(tmp_path))
    assert dataset.metainfo['palette'] == [[1, 2, 3], [4, 5, 6]]
    expected = np.array([255, 1, 0], np.uint8)[COCO_LABELS]
    np.testing.assert_array_equal(label_maps(dataset)[0], expected)
    write_text(tmp_path / 'dataset.yaml', 'classes: [dogs, cats]')
    with pytest.raises(ValueError, match=r"2017.json has the class 'cat'.*did you mean cats"):
        FolderDataset(str(tmp_path))


def test_exported_folders_of_coco(tmp_path):
    path = write_coco(tmp_path, coco_example())
    (tmp_path / 'images/train').rename(tmp_path / 'valid')
    path.rename(tmp_path / 'valid/_annotations.coco.json')
    np.testing.assert_array_equal(label_maps(FolderDataset(str(tmp_path), 'val'))[0], COCO_LABELS)


def test_mask_files_go_before_json(tmp_path):
    write_coco(tmp_path, coco_example())
    (tmp_path / 'labels/train').mkdir(parents=True)
    assert len(detect(tmp_path, 'train').samples) == 1
    write_picture(tmp_path / 'labels/train/a.png')
    assert detect(tmp_path, 'train') is None
    assert detect(tmp_path / 'nowhere', 'train') is None


def test_labelme(tmp_path):
    train = tmp_path / 'images/train'
    shapes = [
        labelme_shape('cat', points(2, 2, 8, 8)),
        labelme_shape('dog', [[20, 20], [0, 0]], 'rectangle'),
        labelme_shape('__ignore__', [[26, 10], [26, 14]], 'circle'),
        labelme_shape('_background_', points(0, 0, 2, 2), None),
    ]
    write_picture(train / 'a.png')
    write_labelme(train / 'a.json', shapes)
    write_picture(train / 'b.png')
    write_labelme(train / 'other.json', [], image_path='b.png')
    # Each split has the classes of all.
    write_picture(tmp_path / 'images/val/c.png')
    write_labelme(tmp_path / 'images/val/c.json', [labelme_shape('bird', points(0, 0, 9, 9))])
    dataset = FolderDataset(str(tmp_path))
    assert dataset.metainfo['classes'] == ('background', 'bird', 'cat', 'dog')
    assert FolderDataset(str(tmp_path), 'val').metainfo['classes'] == dataset.metainfo['classes']
    expected = boxes((3, (0, 0, 20, 20)), (2, (2, 2, 8, 8)), (0, (0, 0, 2, 2)))
    rows, columns = np.indices(SIZE) + 0.5
    expected[(rows - 10) ** 2 + (columns - 26) ** 2 < 16] = 255
    first, second = label_maps(dataset)
    np.testing.assert_array_equal(first, expected)
    assert not second.any()


def test_what_reaches_beyond_the_picture_is_cut_off_and_counted(tmp_path, caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    write_coco(
        tmp_path,
        [coco_entry(1, [square(-5, 2, 6, 90)], 3), coco_entry(2, [square(0, 0, 32, 24)], 7)],
    )
    labels = label_maps(FolderDataset(str(tmp_path)))[0]
    np.testing.assert_array_equal(labels, boxes((1, (0, 2, 6, 24)), fill=2))
    logger.removeHandler(caplog.handler)
    assert caplog.text.count('1 of 2 objects in ') == 1


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('0 0.1 0.1 0.2 0.2 0.3', r'a\.txt, line 1: 5 coordinates, expected pairs'),
        ('0 .1 .1 .2 .2', r'a\.txt, line 1: a class and 4 numbers are a box; .*segmentation'),
        ('0 .1 .1', r'a\.txt, line 1: a polygon of 1 points; expected at least 3, remove it'),
        ('\n2 0 0 1 0 1 1', r'a\.txt, line 2: class id 2; expected 0 to 1, the ids of names'),
        ('0 0 0 1 0 1 x', r'a\.txt, line 1: the coordinates are not all numbers'),
        ('0 0 0 1 0 1 nan', r'a\.txt, line 1: 6 coordinates, expected pairs of finite x and y'),
    ],
)
def test_bad_label_file(tmp_path, line, message):
    write_yolo(tmp_path, {'a': line})
    with pytest.raises(ValueError, match=message) as caught:
        FolderDataset(str(tmp_path))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('keys', 'error', 'message'),
    [
        ({'names': {0: 'a', 2: 'b'}}, ValueError, 'names has the ids 0, 2; expected 0 to 1'),
        ({'names': ['a', False]}, ValueError, r'names is \[.a., False\]; expected names'),
        ({'names': ['a', 'a']}, ValueError, "class 'a' occurs twice"),
        ({'train': None}, ValueError, 'has no split train; it has val, add train: images/train'),
        ({'train': 'pictures'}, FileNotFoundError, 'folder .*pictures does not exist'),
        ({'masks_dir': 'masks'}, FileNotFoundError, r'1 of 1 .* no mask: expected .*train/a\.png'),
        (
            {'masks_dir': 'masks', 'label_mapping': {7: 9}},
            ValueError,
            'label_mapping has 7: 9; expected 0 to 1 or ignore_label',
        ),
        ({}, FileNotFoundError, 'none of the 1 pictures .* has a label file: expected .*a.txt'),
    ],
)
def test_bad_description_of_ultralytics(tmp_path, keys, error, message):
    write_yolo(tmp_path, {'a': None}, **keys)
    with pytest.raises(error, match=message) as caught:
        FolderDataset(str(tmp_path))
    assert '\n' not in str(caught.value)


OUTLINE = [square(0, 0, 4, 4)]


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        ({'segmentation': [[0, 0, 4, 4]]}, 'annotation 5: a polygon of 2 points; expected at'),
        ({'category_id': 9}, 'annotation 5: category_id 9 is none of the categories 3, 7'),
        ({'image_id': 9}, 'annotation 5: image_id 9 is none of the images'),
        ({'segmentation': []}, r'annotation 5: segmentation is \[\]; expected polygons or run'),
        (
            {'segmentation': {'size': [9, 9], 'counts': [81]}},
            r'annotation 5: run lengths for \[9, 9\]; expected .* \[24, 32\]',
        ),
    ],
)
def test_bad_coco_entry(tmp_path, entry, message):
    write_coco(tmp_path, [{**coco_entry(5, OUTLINE, 3), **entry}])
    with pytest.raises(ValueError, match=message) as caught:
        FolderDataset(str(tmp_path))
    assert '\n' not in str(caught.value)


def test_bad_coco_files(tmp_path):
    path = write_coco(tmp_path, [], files=('a.png', 'b.png'))
    (tmp_path / 'images/train/b.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 of 2 pictures .* missing: b.png; looked in'):
        FolderDataset(str(tmp_path))
    write_coco(tmp_path, [], images=[{'id': 1, 'width': 32}])
    with pytest.raises(ValueError, match=r"2017.json: image .* has no 'file_name'; expected id, "):
        FolderDataset(str(tmp_path))
    write_text(path, '{"images": [],\n "annotations": [')
    with pytest.raises(ValueError, match=r'2017.json, line 2 is not valid JSON: .*export the'):
        FolderDataset(str(tmp_path))
    write_text(path, json.dumps([]))
    with pytest.raises(ValueError, match=r"2017.json has no 'images'; expected an object with"):
        FolderDataset(str(tmp_path))
    write_text(path.with_name('instances_train.json'), '{}')
    with pytest.raises(ValueError, match=r'2 files fit annotations/instances_train\*.json'):
        FolderDataset(str(tmp_path))


def test_reading_says_which_file_does_not_fit(tmp_path):
    runs = {'size': [*SIZE], 'counts': [3, 4]}
    write_coco(tmp_path, [coco_entry(1, runs, 3)])
    dataset = FolderDataset(str(tmp_path))
    with pytest.raises(ValueError, match=r'2017.json, .*a.png: run lengths of 7 pixels; expected'):
        label_maps(dataset)
    write_picture(tmp_path / 'images/train/a.png', (32, 24))
    with pytest.raises(ValueError, match=r'for a picture of 32x24 but .*a.png has 24x32'):
        label_maps(dataset)


@pytest.mark.parametrize(
    ('shape', 'message'),
    [
        (labelme_shape('x', [[1, 1], [5, 5]], 'line'), "a.json, shape 0 'x': shape_type 'line'"),
        (labelme_shape('x', [[1, 1], [5, 5]]), "a.json, shape 0 'x': a polygon of 2 points"),
        (labelme_shape('x', [[1, 1]], 'circle'), 'a circle of 1 points; expected 2'),
    ],
)
def test_bad_labelme_shape(tmp_path, shape, message):
    write_picture(tmp_path / 'images/train/a.png')
    write_labelme(tmp_path / 'images/train/a.json', [shape])
    with pytest.raises(ValueError, match=message):
        FolderDataset(str(tmp_path))


def test_labelme_files_and_pictures_belong_together(tmp_path):
    train = tmp_path / 'images/train'
    write_labelme(train / 'a.json', [labelme_shape('x', points(0, 0, 9, 9))])
    write_picture(train / 'b.png')
    with pytest.raises(FileNotFoundError, match=r'a.json has no picture: expected a.jpg or its'):
        FolderDataset(str(tmp_path))
    write_picture(train / 'a.png')
    with pytest.raises(FileNotFoundError, match=r'1 of 2 images .* no JSON file of LabelMe: b.png'):
        FolderDataset(str(tmp_path))
