"""FolderDataset: what it gives the pipeline, and what it says when something does not fit."""

import pickle

import numpy as np
import pytest
from folders import write_image, write_mask, write_yaml
from mmengine.registry import DefaultScope
from PIL import Image
from torch.utils.data import DataLoader

from mmseg_custom import cli
from mmseg_custom.datasets import FolderDataset, folder_metainfo, read_dataset_yaml
from mmseg_custom.datasets.dataset_yaml import YAML_NAME
from mmseg_custom.registry import DATASETS, SCOPE

CLASSES = ('background', 'cell', 'debris')
LOAD = [{'type': 'LoadImageFromFile'}, {'type': 'LoadAnnotations'}]


@pytest.fixture(autouse=True)
def own_scope():
    with DefaultScope.overwrite_default_scope(SCOPE):
        yield


@pytest.fixture
def folder(tmp_path):
    """Three train pictures in as many formats, one of them in a sub-folder; one val picture."""
    root = tmp_path / 'cells'
    for name in ('a.jpg', 'b.PNG', 'day2/c.tif'):
        write_image(root / 'images/train' / name)
        write_mask(root / 'masks/train' / f'{name.rsplit(".", 1)[0]}.png', [0, 1, 2, 255])
    write_image(root / 'images/val/d.jpg')
    write_mask(root / 'masks/val/d.png', [2])
    (root / 'images/train/.DS_Store').write_bytes(b'')
    write_yaml(root, name='cells', classes=list(CLASSES))
    return root


def test_samples_are_sorted_pairs_of_the_split(folder):
    dataset = FolderDataset(str(folder), 'train')
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    train = folder / 'images/train'
    assert [s['img_path'] for s in samples] == [
        str(train / name) for name in ('a.jpg', 'b.PNG', 'day2/c.tif')
    ]
    masks = folder / 'masks/train'
    assert [s['seg_map_path'] for s in samples] == [
        str(masks / name) for name in ('a.png', 'b.png', 'day2/c.png')
    ]
    assert len(FolderDataset(str(folder), 'val')) == 1


def test_pipeline_gets_pixels_and_labels(folder):
    config = {'type': 'FolderDataset', 'data_root': str(folder), 'pipeline': LOAD}
    sample = DATASETS.build(config)[2]
    assert sample['img'].shape == (6, 8, 3)
    assert (sample['img'] == 120).all()
    np.testing.assert_array_equal(
        sample['gt_seg_map'], np.resize(np.array([0, 1, 2, 255], np.uint8), (6, 8))
    )


@pytest.mark.parametrize(
    ('keys', 'options', 'stored', 'expected'),
    [
        ({'ignore_index': 7}, {}, [0, 1, 2, 7, 255], [0, 1, 2, 255, 255]),
        ({}, {'ignore_index': 9}, [0, 1, 2, 9], [0, 1, 2, 255]),
        ({}, {'metainfo': {'ignore_index': 8}}, [2, 8], [2, 255]),
        ({}, {'reduce_zero_label': True}, [0, 1, 2, 3], [255, 0, 1, 2]),
        (
            {'ignore_index': 9},
            {'reduce_zero_label': True},
            [0, 1, 2, 3, 9, 255],
            [255, 0, 1, 2, 255, 255],
        ),
    ],
)
def test_ignored_pixels_reach_the_pipeline_as_255(folder, keys, options, stored, expected):
    write_yaml(folder, classes=list(CLASSES), **keys)
    write_mask(folder / 'masks/val/d.png', stored)
    sample = FolderDataset(str(folder), 'val', pipeline=LOAD, **options)[0]
    np.testing.assert_array_equal(
        sample['gt_seg_map'], np.resize(np.array(expected, np.uint8), (6, 8))
    )


def test_arguments_of_the_base_class_work(folder):
    lazy = FolderDataset(str(folder), lazy_init=True, serialize_data=False, indices=2)
    assert lazy.data_list == []
    assert lazy.metainfo['classes'] == CLASSES
    assert len(lazy) == 2
    assert len(FolderDataset(str(folder), img_suffix='.jpg', indices=[0])) == 1


def test_pictures_without_masks_for_prediction(folder):
    write_image(folder / 'images/test/e.jpg')
    with pytest.raises(FileNotFoundError, match=r'masks.test does not exist; .*folders train, val'):
        FolderDataset(str(folder), 'test', test_mode=True)
    dataset = FolderDataset(
        str(folder), 'test', test_mode=True, with_masks=False, pipeline=LOAD[:1]
    )
    assert dataset[0]['img'].shape == (6, 8, 3)
    assert 'seg_map_path' not in dataset.get_data_info(0)
    with pytest.raises(ValueError, match='with_masks=False needs test_mode=True'):
        FolderDataset(str(folder), 'test', with_masks=False)


def test_class_names_and_palette_reach_the_metainfo(folder):
    palette = [[0, 0, 0], [255, 0, 0], [0, 255, 0]]
    write_yaml(folder, classes=list(CLASSES), palette=palette)
    assert FolderDataset(str(folder)).metainfo['palette'] == palette
    metainfo = {'palette': [[1, 1, 1], [2, 2, 2], [3, 3, 3]]}
    assert FolderDataset(str(folder), metainfo=metainfo).metainfo['palette'][2] == [3, 3, 3]


def test_metainfo_needs_no_pictures(tmp_path):
    write_yaml(tmp_path, classes=['a', 'b'], ignore_index=9)
    facts = FolderDataset.metainfo_from_config({'data_root': str(tmp_path)})
    assert facts['classes'] == ('a', 'b')
    assert facts['ignore_index'] == 9
    assert len({tuple(colour) for colour in facts['palette']}) == 2
    assert folder_metainfo(tmp_path / 'no', {'classes': ['x', 'y']})['classes'] == ('x', 'y')
    assert folder_metainfo(tmp_path, {'classes': ['a', 'b']})['ignore_index'] == 9
    assert read_dataset_yaml(tmp_path) == {'classes': ('a', 'b'), 'ignore_index': 9}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('classes: [a, b', r'line 1 is not valid YAML.*expected lines such as'),
        ('', r"holds nothing; expected keys name, classes.*'classes: \[background, thing\]'"),
        ('- a\n- b', r"holds list \['a', 'b'\]; expected keys"),
        ('name: x', r"has no key classes; add 'classes:"),
        ('clases: [a, b]', r"unknown key 'clases'; did you mean classes\? \(known: name, "),
        ('names: [a, b]', r"unknown key 'names'; did you mean classes\?"),
        ('classes: [a, b]\nzzz: 1', r"unknown key 'zzz' \(known: name, classes"),
        ('classes: {0: a, 1: b}', r'classes is dict .*expected a list of names in index order'),
        ('classes: a b', r"classes is str 'a b'; expected a list"),
        ('classes: [yes, no]', r'classes\[0\] is bool True; expected a name, put it in quotes'),
        ('classes: [a, 7]', r'classes\[1\] is int 7; expected a name'),
        ('classes: [a, b, a]', r"class 'a' occurs twice"),
        ('classes: [a]', r'classes has 1 entries; expected 2'),
        ('classes: [a, b]\npalette: [[0, 0, 0]]', r'1 colours but there are 2 classes; give one'),
        ('classes: [a, b]\npalette: red', r"palette is str 'red'; expected a list of \[r, g, b\]"),
        (
            'classes: [a, b]\npalette: [[0, 0, 0], [0, 0, 256]]',
            r'palette\[1\] is list \[0, 0, 256\]; expected \[r, g, b\] with whole numbers 0-255',
        ),
        ('classes: [a, b]\nignore_index: -1', r'ignore_index is int -1; expected .* 0-255'),
        ('labels: [a, b]', r"labels is list .*a list of names is 'classes'"),
        ('labels: {a: 1}', r'classes has 1 entries; expected 2'),
        ('labels: {a: 1, b: #ff0000}', r"not valid YAML: .*a colour needs quotes: '#ff0000'"),
        ('labels:\n  a: 1\n  b: #ff0000', r'labels: b has no value; .*in quotes: without them'),
        ('classes: [a, b]\nlabels: {a: 1, c: 2}', r"'c' is not among the classes a, b; add it"),
        (
            'labels: {a: 1, b: 2}\nignore_index: 9',
            r"ignore_index=9 beside labels; .*write 'ignore: 9' under labels",
        ),
        ('classes: [a, b]\nmask_suffix: _m', r"unknown key 'mask_suffix'; did you mean seg_map_s"),
        ('classes: [a, b]\nsplits: train.txt', r"splits is str 'train.txt'; expected list files"),
        ('classes: [a, b]\nval_share: 10', r'val_share is int 10; expected a number between 0 an'),
        ('classes: [a, b]\nimages: [a]', r"images is list \['a'\]; expected text such as images/"),
        (
            'classes: [a, b]\nignore_index: 0',
            r"ignore_index=0 is also the index of class 'a'; .*reduce_zero_label=True",
        ),
    ],
)
def test_bad_yaml_is_one_line_with_the_fix(tmp_path, text, message):
    (tmp_path / YAML_NAME).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        folder_metainfo(tmp_path)
    assert '\n' not in str(caught.value)


def test_text_that_is_not_utf8(tmp_path):
    (tmp_path / YAML_NAME).write_bytes('classes: [a, füße]'.encode('latin-1'))
    with pytest.raises(ValueError, match=r'is not UTF-8 text .*save it as UTF-8'):
        folder_metainfo(tmp_path)


def test_classes_have_one_home(folder):
    with pytest.raises(ValueError, match=r"\['a', 'b'\] but .*dataset.yaml has \['background'"):
        FolderDataset(str(folder), metainfo={'classes': ('a', 'b')})
    with pytest.raises(ValueError, match="metainfo: unknown key 'clases'; did you mean classes"):
        FolderDataset(str(folder), metainfo={'clases': ('a', 'b')})
    (folder / YAML_NAME).unlink()
    with pytest.raises(FileNotFoundError, match=r'no file .*dataset.yaml; expected at least'):
        FolderDataset(str(folder))
    renamed = FolderDataset(str(folder), metainfo={'classes': ['x', 'y', 'z']})
    assert renamed.metainfo['classes'] == ('x', 'y', 'z')


def test_ignore_value_that_is_a_class_after_the_shift(folder):
    with pytest.raises(ValueError, match='ignore_index=3 is also the value of a class'):
        FolderDataset(str(folder), ignore_index=3, reduce_zero_label=True)


def test_no_such_folder(tmp_path):
    metainfo = {'classes': ['a', 'b']}
    with pytest.raises(FileNotFoundError, match=r'data_root .*nowhere does not exist; expected'):
        FolderDataset(str(tmp_path / 'nowhere'), metainfo=metainfo)
    with pytest.raises(FileNotFoundError, match=r'no folder .*nowhere, so no file .*dataset.yaml'):
        FolderDataset(str(tmp_path / 'nowhere'))


LABELS = {'ignore': [0, 9], 'road': 1, 'car': [2, 3], 'sign': '#dcdc00'}
COLOURS = [[0, 0, 0], [1, 1, 1], [2, 2, 2], [3, 3, 3], [0xDC, 0xDC, 0], [9, 9, 9]]
EXPECTED = [255, 0, 1, 1, 2, 255]


def save_palette(path):
    image = Image.fromarray(np.resize(np.array([0, 1, 2, 3, 7, 9], np.uint8), (6, 8)))
    image.putpalette([0] * 21 + [0xDC, 0xDC, 0] + [0] * 20)
    image.save(path)


@pytest.mark.parametrize(
    ('write', 'keys', 'expected'),
    [
        (lambda path: write_mask(path, [0, 1, 2, 3, 9]), {}, [255, 0, 1, 1, 255]),
        (lambda path: write_mask(path, COLOURS), {}, EXPECTED),
        (save_palette, {}, EXPECTED),
        (
            lambda path: write_mask(path, [0, 1, 2, 3, 9]),
            {'classes': ['car', 'sign', 'road']},
            [255, 2, 0, 0, 255],
        ),
        (
            lambda path: write_mask(path, [7000, 26, 0]),
            {'labels': {'ignore': 0, 'road': 7000, 'car': 26}},
            [0, 1, 255],
        ),
        (
            lambda path: write_mask(path, [0, 255]),
            {'labels': {'background': 0, 'cell': 255}},
            [0, 1],
        ),
    ],
)
def test_labels_of_every_kind_of_mask(folder, write, keys, expected):
    keys = {'labels': LABELS, **keys}
    write_yaml(folder, **keys)
    write(folder / 'masks/val/d.png')
    dataset = FolderDataset(str(folder), 'val', pipeline=LOAD)
    assert dataset.metainfo['classes'] == tuple(
        keys.get('classes', [name for name in keys['labels'] if name != 'ignore'])
    )
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], np.resize(expected, (6, 8)))
    assert dataset[0]['gt_seg_map'].dtype == np.uint8


def test_labels_in_the_config(folder):
    labels = {'debris': 2, 'ignore': [1, 255], 'background': 0, 'cell': 9}
    dataset = FolderDataset(str(folder), pipeline=LOAD, metainfo={'labels': labels})
    assert dataset.metainfo['classes'] == CLASSES
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], np.resize([0, 255, 2, 255], (6, 8)))
    write_mask(folder / 'masks/train/a.png', [5])
    with pytest.raises(
        ValueError, match=r'a.png holds 5 in 48 pixels, which labels of metainfo do'
    ):
        FolderDataset(str(folder), pipeline=LOAD, metainfo={'labels': labels})[0]
    write_yaml(folder, labels=labels)
    with pytest.raises(ValueError, match='metainfo and .*dataset.yaml both have labels; give'):
        FolderDataset(str(folder), metainfo={'labels': labels})
    with pytest.raises(ValueError, match="reduce_zero_label=True beside labels; .*'ignore: 0'"):
        FolderDataset(str(folder), reduce_zero_label=True)


def test_colours_of_the_labels_are_those_of_the_classes(folder):
    write_yaml(folder, labels={'sky': '#0102ff', 'ignore': '#000000', 'tree': ['#00ff00', 3]})
    assert FolderDataset(str(folder)).metainfo['palette'] == [[1, 2, 255], [0, 255, 0]]


@pytest.mark.parametrize(
    ('keys', 'values', 'message'),
    [
        (
            {'classes': CLASSES},
            [0, 1, 3, 3, 7, 255],
            r'd.png holds 3 in 16 pixels, 7 in 8 pixels, but the 3 classes are 0-2 in the files '
            r'and 255 is ignored; add the class, set ignore_index: 3, or write in .*dataset.yaml '
            r"what each value is, e.g. 'labels: \{ignore: \[3, 7, 255\], background: 0, cell: 1, "
            r"debris: 2\}'",
        ),
        (
            {'classes': CLASSES},
            [[0, 0, 0], [128, 64, 128]],
            r'd.png is an RGB mask and holds #804080 in 24 pixels; .*'
            r"""'labels: \{background: "#804080", ...\}'""",
        ),
        (
            {'labels': {'ignore': [0, 255], 'road': 1, 'car': 2}},
            [1, 2, 7, 7],
            r'd.png holds 7 in 24 pixels, which labels of .*dataset.yaml do not name; add to a '
            r"class, or leave out with 'ignore: \[0, 255, 7\]'",
        ),
        (
            {'labels': {'road': '#000000', 'car': '#ff0000'}},
            [[0, 0, 0], [0, 0, 255], [0, 0, 255]],
            r"""holds #0000ff in 32 pixels, which .* leave out with 'ignore: \["#0000ff"\]'""",
        ),
    ],
)
def test_values_that_are_no_class(folder, keys, values, message):
    write_yaml(folder, **{k: list(v) if k == 'classes' else v for k, v in keys.items()})
    write_mask(folder / 'masks/val/d.png', values)
    dataset = FolderDataset(str(folder), 'val', pipeline=LOAD)
    with pytest.raises(ValueError, match=message) as caught:
        dataset[0]
    assert '\n' not in str(caught.value)


def test_zero_based_labels_that_are_shifted(folder):
    write_mask(folder / 'masks/val/d.png', [0, 1, 2, 3, 4])
    dataset = FolderDataset(str(folder), 'val', pipeline=LOAD, reduce_zero_label=True)
    with pytest.raises(ValueError, match=r'holds 4 in \d+ pixels, but the 3 classes are 1-3 in'):
        dataset[0]


def test_black_and_white_masks(folder):
    write_yaml(folder, classes=['background', 'cell body'])
    for name in ('a.png', 'b.png', 'day2/c.png'):
        write_mask(folder / 'masks/train' / name, [0] if name == 'a.png' else [0, 255])
    with pytest.raises(ValueError) as caught:
        FolderDataset(str(folder))
    assert str(caught.value) == (
        f'the masks in {folder}/masks/train hold 0 and 255 only (3 looked at), and 255 is left out '
        f"unless labels say what it is; write in {folder}/dataset.yaml: 'labels: {{background: 0, "
        "cell body: 255}'"
    )
    write_yaml(folder, labels={'background': 0, 'cell body': 255})
    assert len(FolderDataset(str(folder))) == 3
    write_yaml(folder, classes=['background', 'cell'])
    write_mask(folder / 'masks/train/b.png', [0, 255, 1])
    assert len(FolderDataset(str(folder))) == 3, '255 is unlabelled where there are classes'


def test_mask_of_another_size(folder):
    Image.fromarray(np.zeros((12, 16), np.uint8)).save(folder / 'masks/val/d.png')
    dataset = FolderDataset(str(folder), 'val', pipeline=LOAD)
    with pytest.raises(ValueError, match=r'd.png is 16x12 but .*d.jpg is 8x6; export the mask at'):
        dataset[0]


def test_error_in_a_worker_is_one_line(folder, capsys):
    write_mask(folder / 'masks/val/d.png', [0, 77])
    dataset = FolderDataset(str(folder), 'val', pipeline=LOAD)

    def load(_):
        next(iter(DataLoader(dataset, num_workers=1)))

    with pytest.raises(SystemExit):
        cli.run(load, [])
    error = capsys.readouterr().err
    assert error.startswith(f'error: {folder}/masks/val/d.png holds 77 in 24 pixels, but the 3 cl')
    assert error.count('\n') == 1


def test_reader_survives_a_spawned_worker(folder):
    dataset = pickle.loads(pickle.dumps(FolderDataset(str(folder), pipeline=LOAD)))
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], np.resize([0, 1, 2, 255], (6, 8)))
    assert len(pickle.dumps(dataset.mask_reader)) < 2000


def test_labels_of_a_binary_task_name_both_classes(tmp_path):
    path = tmp_path / YAML_NAME
    path.write_text('task: binary\nlabels: {thing: 255}\n')
    with pytest.raises(ValueError, match='labels name one class; name the background, too'):
        folder_metainfo(tmp_path)
    path.write_text('task: binary\nlabels: {background: 0, thing: 255}\n')
    facts = folder_metainfo(tmp_path)
    assert (facts['classes'], facts['task']) == (('background', 'thing'), 'binary')
