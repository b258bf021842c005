"""The quick-start data set: same bytes, all classes, no way to solve it by colour."""

import hashlib
import json
import multiprocessing

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmseg_custom.datasets import (
    FolderDataset,
    QuickstartDataset,
    generate_quickstart_dataset,
    synthetic,
)
from mmseg_custom.datasets.synthetic_scene import SHAPES, paint_scene, shape_distance
from mmseg_custom.registry import DATASETS, SCOPE

FEW = {'train': 5, 'val': 2}


@pytest.fixture(scope='module')
def full(tmp_path_factory):
    """The data set as a new user gets it."""
    return generate_quickstart_dataset(tmp_path_factory.mktemp('quick') / 'data')


def digest(root):
    """One hash over names and bytes of all files."""
    total = hashlib.sha256()
    for path in sorted(p for p in root.rglob('*') if p.is_file()):
        total.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return total.hexdigest()


def read_split(root, split):
    """Pictures (N, H, W, 3) and masks (N, H, W), uint8."""
    images = sorted((root / 'images' / split).iterdir())
    masks = sorted((root / 'masks' / split).iterdir())
    return (
        np.stack([cv2.imread(str(path)) for path in images]),
        np.stack([cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in masks]),
    )


def test_same_seed_same_bytes_other_seed_other_pictures(tmp_path):
    first = generate_quickstart_dataset(tmp_path / 'a', FEW)
    assert digest(first) == digest(generate_quickstart_dataset(tmp_path / 'b', FEW))
    assert digest(first) != digest(generate_quickstart_dataset(tmp_path / 'c', FEW, seed=1))


def test_more_pictures_leave_the_first_as_they_are(tmp_path):
    few = generate_quickstart_dataset(tmp_path / 'a', {'train': 2})
    more = generate_quickstart_dataset(tmp_path / 'b', {'train': 3})
    name = 'images/train/train_001.jpg'
    assert (few / name).read_bytes() == (more / name).read_bytes()


def test_every_class_in_every_split_and_only_classes(full):
    for split, count in {'train': 640, 'val': 40, 'test': 40}.items():
        images, masks = read_split(full, split)
        assert images.shape == (count, 128, 128, 3)
        assert masks.shape == (count, 128, 128)
        share = np.bincount(masks.ravel(), minlength=256) / masks.size
        assert share[6:].sum() == 0
        assert 0.5 < share[0] < 0.75
        assert share[1:6].min() > 0.03
        present = [(masks == index).any((1, 2)).mean() for index in range(6)]
        assert min(present) > 0.3


def test_no_picture_occurs_twice(full):
    images = np.concatenate([read_split(full, split)[0] for split in ('train', 'val', 'test')])
    assert len({image.tobytes() for image in images}) == len(images)


def mean_iou(truth, predicted):
    matrix = np.bincount(truth.astype(np.int64) * 6 + predicted, minlength=36).reshape(6, 6)
    both = np.diag(matrix)
    return 100 * (both / (matrix.sum(0) + matrix.sum(1) - both)).mean()


def best_of_table(keys, masks, test_keys, test_masks):
    """Best mIoU of a table of class counts per key, with and without balancing the classes."""
    known, index = np.unique(keys, return_inverse=True)
    counts = np.bincount(index * 6 + masks, minlength=6 * len(known)).reshape(-1, 6)
    place = np.minimum(np.searchsorted(known, test_keys), len(known) - 1)
    votes = counts[place] * (known[place] == test_keys)[:, None]
    prior = counts.sum(0)
    return max(
        mean_iou(test_masks, (votes / prior**power).argmax(1)) for power in (0.0, 0.5, 0.75, 1.0)
    )


def colour_keys(images, bits):
    shifts = np.array([2 * bits, bits, 0])
    return ((images.astype(np.int64) >> (8 - bits)) << shifts).sum(-1).ravel()


@pytest.mark.parametrize('bits', [3, 5], ids=['8 levels', '32 levels'])
def test_colour_of_a_pixel_does_not_tell_its_class(full, bits):
    images, masks = read_split(full, 'train')
    test_images, test_masks = read_split(full, 'test')
    score = best_of_table(
        colour_keys(images, bits), masks.ravel(), colour_keys(test_images, bits), test_masks.ravel()
    )
    # Some agreement comes from the ground alone, so a broken classifier would score less.
    assert 5 < score < 50


def test_colour_and_the_mean_around_it_do_not_tell_the_class(full):
    def keys(images):
        around = np.stack([cv2.blur(image, (3, 3)) for image in images])
        return colour_keys(images, 4) << 12 | colour_keys(around, 4)

    images, masks = read_split(full, 'train')
    test_images, test_masks = read_split(full, 'test')
    score = best_of_table(keys(images), masks.ravel(), keys(test_images), test_masks.ravel())
    assert 5 < score < 50


def test_the_colour_classifier_can_win_where_colour_tells():
    masks = np.random.default_rng(0).integers(0, 6, 4000)
    assert best_of_table(masks * 40, masks, masks * 40, masks) == 100


def test_the_folder_is_a_folder_dataset(full):
    own, folder = QuickstartDataset(str(full), 'val'), FolderDataset(str(full), 'val')
    assert len(own) == len(folder) == 40
    assert own.metainfo == {**folder.metainfo, 'classes': own.metainfo['classes']}
    assert tuple(folder.metainfo['classes']) == QuickstartDataset.METAINFO['classes']
    assert own.get_data_info(7) == folder.get_data_info(7)


def test_classes_are_known_before_anything_is_generated(tmp_path):
    root = tmp_path / 'none'
    config = {'type': 'QuickstartDataset', 'data_root': str(root)}
    assert QuickstartDataset.metainfo_from_config(config)['classes'] == ('background', *SHAPES)
    with DefaultScope.overwrite_default_scope(SCOPE):
        dataset = DATASETS.build({**config, 'lazy_init': True})
    assert len(dataset.metainfo['palette']) == 6
    assert not root.exists()


def test_colours_can_be_changed_in_the_config(full):
    palette = [[index, 0, 0] for index in range(6)]
    dataset = QuickstartDataset(str(full), 'val', metainfo={'palette': palette})
    assert dataset.metainfo['palette'] == palette
    with pytest.raises(ValueError, match='palette has 2 colours but there are 6 classes'):
        QuickstartDataset(str(full), 'val', metainfo={'palette': palette[:2]})


def test_first_use_generates_and_later_use_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, 'NUM_IMAGES', {'train': 3, 'val': 2, 'test': 1})
    root = tmp_path / 'below' / 'data'
    assert len(QuickstartDataset(str(root), 'val')) == 2
    before = {path: path.stat().st_mtime_ns for path in root.rglob('*')}
    assert len(QuickstartDataset(str(root), 'train')) == 3
    assert {path: path.stat().st_mtime_ns for path in root.rglob('*')} == before
    assert sorted(p.name for p in root.parent.iterdir() if p.is_dir()) == ['data']


def test_another_version_is_made_again(tmp_path, monkeypatch):
    root = generate_quickstart_dataset(tmp_path / 'data', FEW)
    fresh = digest(root)
    marker = root / synthetic.MARKER_NAME
    marker.write_text(json.dumps({**json.loads(marker.read_text()), 'version': 0}))
    (root / 'images/train/train_000.jpg').write_bytes(b'old')
    (root / 'images/train/gone.jpg').write_bytes(b'old')
    assert digest(generate_quickstart_dataset(root, FEW)) == fresh


@pytest.mark.parametrize('content', [None, 'not json', '{"generator": "another"}', '[]'])
def test_a_foreign_folder_is_never_touched(tmp_path, content):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/picture.jpg').write_bytes(b'precious')
    if content is not None:
        (tmp_path / 'mine' / synthetic.MARKER_NAME).write_text(content)
    before = digest(tmp_path / 'mine')
    with pytest.raises(ValueError, match=r'stays as it is.*FolderDataset'):
        generate_quickstart_dataset(tmp_path / 'mine', FEW)
    assert digest(tmp_path / 'mine') == before


def test_a_file_in_the_way_and_an_empty_folder(tmp_path):
    (tmp_path / 'file').write_bytes(b'precious')
    with pytest.raises(ValueError, match='was not made by the quick start'):
        generate_quickstart_dataset(tmp_path / 'file', FEW)
    assert (tmp_path / 'file').read_bytes() == b'precious'
    (tmp_path / 'empty').mkdir()
    assert (generate_quickstart_dataset(tmp_path / 'empty', FEW) / 'dataset.yaml').is_file()


def test_arguments_that_are_too_small(tmp_path):
    with pytest.raises(ValueError, match='size=32, .*at least 64'):
        generate_quickstart_dataset(tmp_path / 'a', FEW, size=32)
    with pytest.raises(ValueError, match='at least one picture per split'):
        generate_quickstart_dataset(tmp_path / 'a', {'train': 0})


def test_a_failure_half_way_leaves_nothing(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(synthetic, 'write_picture', full_disk)
    with pytest.raises(OSError, match='No space left'):
        generate_quickstart_dataset(tmp_path / 'data', FEW)
    assert [path.name for path in tmp_path.iterdir()] in ([], ['.data.lock'])


def generate_when_told(root, start):
    start.wait()
    generate_quickstart_dataset(root, FEW)


def test_several_processes_at_once(tmp_path):
    context = multiprocessing.get_context('fork')
    start = context.Barrier(3)
    workers = [
        context.Process(target=generate_when_told, args=(tmp_path / 'shared', start))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    alone = generate_quickstart_dataset(tmp_path / 'alone', FEW)
    assert digest(tmp_path / 'shared') == digest(alone)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ['alone', 'shared']


def test_asked_for_shape_is_there_in_its_true_area():
    for index, shape in enumerate(SHAPES):
        _, mask = paint_scene(np.random.default_rng([7, index]), 96, index)
        assert (mask == index + 1).any()
        axis = np.linspace(-1.6, 1.6, 801)
        area = (shape_distance(shape, *np.meshgrid(axis, axis)) < 0).mean() * 3.2**2
        expected = {
            'disc': np.pi,
            'square': (2 * 0.88) ** 2,
            'triangle': 3 * 3**0.5 * 0.7**2,
            'ring': np.pi * ((0.68 + 0.38) ** 2 - (0.68 - 0.38) ** 2),
            'cross': 4 * 1.08 * 0.84 - 0.84**2,
        }[shape]
        assert area == pytest.approx(expected, rel=0.01)
    with pytest.raises(ValueError, match="unknown shape 'star'; expected one of disc, square"):
        shape_distance('star', axis, axis)
