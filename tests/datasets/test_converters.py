"""Each converter: the values that it writes, and what it says of a file that does not fit."""

import json

import cv2
import numpy as np
import pytest
from annotation_files import (
    boxes,
    coco_entry,
    labelme_shape,
    points,
    square,
    write_ade20k,
    write_coco,
    write_labelme,
    write_labels,
    write_pascal_context,
    write_picture,
    write_text,
    write_voc_and_sbd,
)
from mmseg.datasets import ADE20KDataset, PascalContextDataset
from PIL import Image
from tool_modules import load_tool

from mmseg_custom.datasets import FolderDataset
from mmseg_custom.datasets.converters.ade20k import class_of_name, convert_ade20k
from mmseg_custom.datasets.converters.cityscapes import convert_cityscapes
from mmseg_custom.datasets.converters.colours import convert_colours, read_colours
from mmseg_custom.datasets.converters.pascal_context import CLASS_IDS


def run(tool: str, *arguments) -> None:
    load_tool(f'dataset_converters/{tool}.py').main([*map(str, arguments), '--workers', '1'])


def read(path) -> np.ndarray:
    return np.array(Image.open(path))


def test_cityscapes_ids(tmp_path, capsys):
    """The ids of cityscapesScripts: 0-33, and 255 for -1."""
    labels = [*range(34), 255]
    write_labels(tmp_path / 'gtFine/val/x/x_gtFine_labelIds.png', [labels])
    run('cityscapes', tmp_path)
    trained = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11}
    trained.update({25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18})
    found = read(tmp_path / 'gtFine/val/x/x_gtFine_labelTrainIds.png')
    assert found.tolist() == [[trained.get(label, 255) for label in labels]]
    run('cityscapes', tmp_path)
    assert capsys.readouterr().out.splitlines() == [
        '1 files: 1 written',
        'nothing to do: all 1 files are up to date',
    ]


def test_files_that_fail_end_the_tool_with_status_1(tmp_path, capsys):
    good, bad = (tmp_path / f'gtFine/val/{name}_gtFine_labelIds.png' for name in 'gb')
    write_labels(good, [[7]])
    write_labels(bad, [[7, 40, 40]])
    damaged = bad.with_name('d_gtFine_labelIds.png')
    damaged.write_bytes(good.read_bytes()[:30])
    with pytest.raises(SystemExit) as caught:
        run('cityscapes', tmp_path)
    assert caught.value.code == 1
    said = capsys.readouterr()
    assert said.out == '3 files: 1 written, 2 failed\n'
    assert f'failed: {bad} has the value 40 (2 pixels); expected label ids 0 to 33' in said.err
    assert f'{damaged}' in said.err


@pytest.mark.shared_data
def test_cityscapes_pictures(shared_data, tmp_path):
    """The three whole pictures, whose train ids were made with cityscapesScripts' table."""
    root = shared_data / 'samples/cityscapes'
    assert convert_cityscapes(root, tmp_path, workers=2).written == 4
    pictures = sorted(tmp_path.glob('train/aachen/*_labelTrainIds.png'))
    assert len(pictures) == 3
    for path in pictures:
        expected = read(root / 'gtFine' / path.relative_to(tmp_path))
        assert expected.shape == (1024, 2048)
        np.testing.assert_array_equal(read(path), expected)


@pytest.fixture
def voc(tmp_path):
    return write_voc_and_sbd(tmp_path)


def test_voc_aug(voc):
    sbd = voc.parents[1] / 'SBD'
    run('voc_aug', voc.parent, sbd)
    found = {path.stem: read(path).tolist() for path in voc.glob('SegmentationClassAug/*.png')}
    assert found == {
        '2007_1': [[0, 255, 1]],
        '2007_2': [[0, 255, 2]],
        '2008_3': [[20, 3], [0, 0]],
        '2008_4': [[20, 4], [0, 0]],
    }
    lists = voc / 'ImageSets/Segmentation'
    assert (lists / 'aug.txt').read_text() == '2008_3\n2008_4\n'
    assert (lists / 'trainaug.txt').read_text() == '2007_1\n2008_3\n2008_4\n'
    (sbd / 'dataset/cls/2008_4.mat').write_bytes(b'MATLAB 5.0 MAT-file')
    with pytest.raises(SystemExit):
        run('voc_aug', voc.parent, sbd)
    (sbd / 'dataset/cls/2008_4.mat').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 label maps .* in .*cls: 2008_4; unpack'):
        run('voc_aug', voc.parent, sbd)


def test_pascal_context(tmp_path):
    voc = write_pascal_context(tmp_path)
    run('pascal_context', voc.parent, tmp_path / 'trainval')
    classes = PascalContextDataset.METAINFO['classes']
    index = classes.index
    expected = [[0, index('aeroplane'), index('bag'), 0]]
    expected.append([index('person'), index('sofa'), index('wood'), 0])
    assert read(voc / 'SegmentationClassContext/2008_2.png').tolist() == expected
    assert (voc / 'ImageSets/SegmentationContext/train.txt').read_text() == '2008_1\n'
    assert (voc / 'ImageSets/SegmentationContext/val.txt').read_text() == '2008_2\n'
    # Both orders are alphabetical, which is what the table relies on.
    assert list(classes[1:]) == sorted(classes[1:])
    assert list(CLASS_IDS) == sorted(set(CLASS_IDS)) and len(CLASS_IDS) == len(classes) - 1
    write_text(tmp_path / 'trainval_merged.json', '{}')
    with pytest.raises(ValueError, match=r'merged.json is a file; expected the folder trainval'):
        run('pascal_context', voc.parent, tmp_path / 'trainval_merged.json')


def test_coco_masks_and_classes(tmp_path):
    entries = [coco_entry(1, [square(2, 2, 9, 9)], 7), coco_entry(2, [square(0, 0, 20, 20)], 3)]
    path = write_coco(tmp_path, entries, files=('a.png', 'sub/b.png'))
    masks, classes = tmp_path / 'masks/train', tmp_path / 'dataset.yaml'
    run('coco', path, tmp_path / 'images/train', masks, '--yaml', classes)
    expected = boxes((1, (0, 0, 20, 20)), (2, (2, 2, 9, 9)))
    np.testing.assert_array_equal(read(masks / 'a.png'), expected)
    assert not read(masks / 'sub/b.png').any()
    dataset = FolderDataset(str(tmp_path))
    assert dataset.metainfo['classes'] == ('background', 'cat', 'dog')
    assert dataset.get_data_info(0)['seg_map_path'] == str(masks / 'a.png')
    # Only the picture whose objects changed is drawn again.
    write_coco(tmp_path, entries[:1], files=('a.png', 'sub/b.png'))
    before = (masks / 'sub/b.png').stat().st_mtime_ns
    run('coco', path, tmp_path / 'images/train', masks, '--yaml', classes)
    np.testing.assert_array_equal(read(masks / 'a.png'), boxes((2, (2, 2, 9, 9))))
    assert (masks / 'sub/b.png').stat().st_mtime_ns == before
    write_text(classes, 'classes: [a, b]')
    with pytest.raises(ValueError, match=r"exists and differs from .*'cat'.*remove it, or leave"):
        run('coco', path, tmp_path / 'images/train', masks, '--yaml', classes)


def test_labelme_masks(tmp_path):
    write_picture(tmp_path / 'images/train/a.png')
    write_labelme(tmp_path / 'images/train/a.json', [labelme_shape('cell', points(3, 4, 10, 11))])
    run('labelme', tmp_path / 'images', tmp_path / 'masks', '--yaml', tmp_path / 'dataset.yaml')
    expected = boxes((1, (3, 4, 10, 11)))
    np.testing.assert_array_equal(read(tmp_path / 'masks/train/a.png'), expected)
    assert FolderDataset(str(tmp_path)).metainfo['classes'] == ('background', 'cell')


COLOURS = """
sky: [70, 130, 180]
road: ['#804080', [1, 2, 3]]
ignore: '#000000'
car: '#0000ff'
"""


def test_colours(tmp_path):
    write_text(tmp_path / 'colours.yaml', COLOURS)
    pixels = [[[70, 130, 180], [128, 64, 128], [1, 2, 3]], [[0, 0, 0], [0, 0, 255], [0, 0, 255]]]
    write_labels(tmp_path / 'rgb/day/a.png', pixels)
    palette = Image.fromarray(np.array([[1, 0]], np.uint8), 'P')
    palette.putpalette([0, 0, 255, 128, 64, 128])
    palette.save(tmp_path / 'rgb/b.png')
    run('colours', tmp_path / 'rgb', tmp_path / 'masks', tmp_path / 'colours.yaml')
    assert read(tmp_path / 'masks/day/a.png').tolist() == [[0, 1, 1], [255, 2, 2]]
    assert read(tmp_path / 'masks/b.png').tolist() == [[1, 2]]
    # Other colours, other results.
    write_text(
        tmp_path / 'colours.yaml',
        COLOURS.replace('sky', 'ignore', 1).replace("ignore: '#", "x: '#"),
    )
    run('colours', tmp_path / 'rgb', tmp_path / 'masks', tmp_path / 'colours.yaml')
    assert read(tmp_path / 'masks/day/a.png').tolist() == [[255, 0, 0], [1, 2, 2]]


def test_unknown_colours(tmp_path):
    write_text(tmp_path / 'colours.json', json.dumps([[0, 0, 0], '#ffffff']))
    write_labels(tmp_path / 'rgb/a.png', [[[0, 0, 0], [9, 0, 0], [7, 7, 7], [7, 7, 7]]])
    result = convert_colours(
        tmp_path / 'rgb', tmp_path / 'masks', tmp_path / 'colours.json', workers=1
    )
    assert len(result.failures) == 1
    said = f'{tmp_path}/rgb/a.png holds #070707 in 2 pixels, #090000 in 1 pixels; add them'
    assert result.failures[0].startswith(said)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('road: red', r"colours, road: 'red' is no colour; expected '#804080' or"),
        ('road: [1, 2, 256]', r'road: \[1, 2, 256\] is no colour'),
        ("a: '#000000'\nb: '#000000'", 'the colour #000000 stands for two classes'),
        ('a: [', 'is not valid YAML'),
        ('', r"expected lines such as \"road: '#804080'\", or a list of colours"),
    ],
)
def test_bad_colours(tmp_path, text, message):
    write_text(tmp_path / 'colours', text)
    with pytest.raises(ValueError, match=message):
        read_colours(tmp_path / 'colours')


def test_palette_of_a_data_set(tmp_path):
    write_text(tmp_path / 'dataset.yaml', 'classes: [a, b]\npalette: [[0, 0, 1], [0, 1, 0]]')
    assert read_colours(tmp_path / 'dataset.yaml') == {1: 0, 256: 1}


def test_names_of_ade20k():
    """Synonyms, first words that begin several names, and names that the benchmark joins."""
    expected = {
        'building, edifice': 'building',
        'bed': 'bed',
        'double door': 'door',
        'door': 'door',
        'closet': 'wardrobe',
        'wardrobe, closet, press': 'wardrobe',
        'screen, CRT screen': 'crt screen',
        'screen, silver screen, projection screen': 'screen',
        'screen door, screen': 'screen door',
        'bag': 'bag',
        'bag, handbag, pocketbook, purse': '',
        'pot, flowerpot': 'pot',
        'pot': '',
        'umbrella': '',
        '': '',
    }
    classes = ['', *(name.strip() for name in ADE20KDataset.METAINFO['classes'])]
    assert {name: classes[class_of_name(name)] for name in expected} == expected


@pytest.mark.shared_data
def test_all_names_of_the_benchmark(shared_data):
    """Each of the benchmark's 150 lists of synonyms is its class."""
    table = (shared_data / 'samples/ADEChallengeData2016/objectInfo150.txt').read_text()
    names = [line.split('\t')[4] for line in table.splitlines()[1:]]
    # The full data set has the synonyms of this one in another order.
    names[89] = 'television receiver, television, television set'
    assert [class_of_name(name) for name in names] == [*range(1, 151)]


def test_ade20k(tmp_path):
    names = {2978: 'wall', 3055: 'windowpane, window', 11: 'umbrella'}
    labels = np.kron(np.array([[2978, 3055], [11, 0]]), np.ones((8, 8), int))
    write_ade20k(tmp_path / 'full', names, labels)
    run('ade20k_full', tmp_path / 'full', tmp_path / 'to', '--short-side', 8)
    expected = np.kron([[1, 9], [0, 0]], np.ones((4, 4), int))
    found = read(tmp_path / 'to/annotations/training/ADE_train_1.png')
    np.testing.assert_array_equal(found, expected)
    assert cv2.imread(str(tmp_path / 'to/images/training/ADE_train_1.jpg')).shape == (8, 8, 3)
    # The benchmark's own table, and the size as it is.
    write_text(tmp_path / 'map.txt', '1\t2978\t\n150 11\n')
    options = ('--table', tmp_path / 'map.txt', '--short-side', 0)
    run('ade20k_full', tmp_path / 'full', tmp_path / 'to', *options)
    found = read(tmp_path / 'to/annotations/training/ADE_train_1.png')
    np.testing.assert_array_equal(found, np.kron([[1, 0], [150, 0]], np.ones((8, 8), int)))
    original = tmp_path / 'full/images/ADE/training/urban/street/ADE_train_1.jpg'
    copied = tmp_path / 'to/images/training/ADE_train_1.jpg'
    assert copied.read_bytes() == original.read_bytes()
    write_text(tmp_path / 'map.txt', '151 7')
    with pytest.raises(ValueError, match=r'map.txt: the first numbers are not classes 1 to 150'):
        run('ade20k_full', tmp_path / 'full', tmp_path / 'to', *options)
    del names[11]
    write_ade20k(tmp_path / 'full', names, labels)
    result = convert_ade20k(tmp_path / 'full', tmp_path / 'to', workers=1)
    assert (
        'has the index 11 (64 pixels), which ADE_train_1.json does not name' in result.failures[0]
    )


@pytest.mark.shared_data
def test_ade20k_pictures(shared_data, tmp_path):
    """Three pictures by their names, against label maps made with the benchmark's table."""
    samples = shared_data / 'samples'
    assert convert_ade20k(samples / 'ADE20K_2021_17_01', tmp_path, workers=2).written == 3
    derived = samples / 'ADE20K_2021_17_01_to150'
    paths = sorted(derived.glob('annotations/training/*.png'))
    assert len(paths) == 3
    for path in paths:
        np.testing.assert_array_equal(read(tmp_path / path.relative_to(derived)), read(path))
    for path in derived.glob('images/training/*.jpg'):
        ours = read(tmp_path / path.relative_to(derived)).astype(int)
        assert np.abs(ours - read(path)).mean() < 2
