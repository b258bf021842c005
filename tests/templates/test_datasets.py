"""Data sets by name, and versions: what they copy, and that later changes do not reach them."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from annotation_files import (
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
from small_templates import CLASSES, small, write_blocks

from mmseg_custom.templates.datasets import Datasets
from mmseg_custom.templates.folders import read_folder
from mmseg_custom.templates.runs import Runs
from mmseg_custom.templates.snapshots import describe_files


@pytest.fixture
def datasets(tmp_path) -> Datasets:
    return Datasets(tmp_path / 'root')


@pytest.fixture
def blocks(tmp_path, datasets):
    """A folder named ``blocks`` with more in it than the data set reads."""
    folder = write_blocks(tmp_path / 'blocks')
    write_text(folder / 'notes.txt', 'of no use')
    write_text(folder / 'images/train/.hidden', 'of no use')
    datasets.create('blocks', folder)
    return folder


def content_of(folder) -> dict[str, str]:
    paths = [p.relative_to(folder).as_posix() for p in folder.rglob('*') if p.is_file()]
    return {file['path']: file['sha256'] for file in describe_files(folder, paths)}


def test_a_version_holds_what_the_data_set_reads(datasets, blocks):
    version = datasets.version('blocks')
    used = {name: digest for name, digest in content_of(blocks).items() if 'notes' not in name}
    del used['images/train/.hidden']
    assert content_of(version.folder) == used and len(used) == 1 + 2 * (6 + 2)
    assert version.classes == CLASSES and version.splits == {'train': 6, 'val': 2}
    assert version.size == sum((blocks / name).stat().st_size for name in used)
    assert not any(path.stat().st_mode & 0o222 for path in version.folder.rglob('*.png'))
    assert datasets.find_version('blocks', version.id[:8]) == version
    assert datasets.get('blocks').versions == (version.id,)


def test_the_same_content_is_the_same_version(datasets, blocks, tmp_path):
    first = datasets.version('blocks')
    os.utime(blocks / 'dataset.yaml', (0, 0))
    assert datasets.version('blocks') == first
    elsewhere = shutil.copytree(blocks, tmp_path / 'copy')
    assert datasets.version(str(elsewhere)).id == first.id
    assert [entry.name for entry in datasets.list()] == ['blocks', 'copy']


@pytest.mark.parametrize('change', ['write in place', 'replace', 'add', 'remove'])
def test_a_later_change_does_not_reach_a_version(datasets, blocks, change):
    first = datasets.version('blocks')
    before = content_of(first.folder)
    picture = blocks / 'images/train/000.jpg'
    picture = picture if picture.exists() else min((blocks / 'images/train').glob('*.jpg'))
    if change == 'write in place':
        with open(picture, 'r+b') as file:
            file.seek(-3, os.SEEK_END)
            file.write(b'\0')
    elif change == 'replace':
        cv2.imwrite(str(picture), np.zeros((32, 32, 3), np.uint8))
    elif change == 'add':
        for name, suffix in (('images', '.jpg'), ('masks', '.png')):
            folder = blocks / name / 'train'
            shutil.copy(min(folder.glob(f'*{suffix}')), folder / f'zzz{suffix}')
    else:
        picture.unlink()
        (blocks / f'masks/train/{picture.stem}.png').unlink()
    assert first.differences() == [] and content_of(first.folder) == before
    second = datasets.version('blocks')
    assert second.id != first.id and datasets.versions('blocks') == [second, first]
    shared = 'masks/val/' + min(path.name for path in (blocks / 'masks/val').iterdir())
    assert os.path.samefile(first.folder / shared, second.folder / shared)
    assert not os.path.samefile(blocks / shared, second.folder / shared)


@pytest.mark.parametrize(
    ('damage', 'expected'),
    [
        (lambda folder: (folder / 'dataset.yaml').chmod(0o644), None),
        (lambda folder: _write(folder / 'dataset.yaml', 'classes: [a, b]\n'), 'yaml was changed'),
        (lambda folder: (folder / 'dataset.yaml').unlink(), 'dataset.yaml is missing'),
        (lambda folder: _write(folder / 'images/train/x.jpg', ''), 'images/train/x.jpg was added'),
        (lambda folder: _write(folder.parent / 'manifest.json', '{}'), 'manifest.json was changed'),
    ],
)
def test_a_damaged_version_is_named_and_mended(datasets, blocks, damage, expected):
    version = datasets.version('blocks')
    before = content_of(version.folder)
    damage(version.folder)
    if expected is None:
        version.verify()
        return
    with pytest.raises(ValueError, match=f'{expected}.*mend it from'):
        datasets.find_version('blocks', version.id).verify()
    assert datasets.version('blocks').id == version.id
    assert content_of(version.folder) == before
    assert [path.name for path in version.place.parent.iterdir()] == [version.id]


def _write(path, text):
    path.unlink(missing_ok=True)
    path.write_text(text)


def write_lists(root):
    write_blocks(root)
    text = (root / 'dataset.yaml').read_text()
    names = sorted(path.stem for path in (root / 'images/train').iterdir())
    write_text(root / 'lists/train.txt', '\n'.join(names[:4]))
    write_text(root / 'lists/val.txt', '\n'.join(names[4:]))
    splits = 'splits: {train: lists/train.txt, val: lists/val.txt}\n'
    write_text(root / 'dataset.yaml', f'{text}images: images/train\nmasks: masks/train\n{splits}')


def write_share(root):
    write_blocks(root)
    shutil.rmtree(root / 'images/val')
    text = (root / 'dataset.yaml').read_text()
    write_text(root / 'dataset.yaml', f'{text}val_share: 0.3\n')


def write_polygons(root, **keys):
    write_yolo(root, {'a': '0 .1 .1 .9 .1 .5 .9', 'b': None, 'c': '1 0 0 1 0 1 1'}, **keys)
    shutil.copytree(root / 'images/train', root / 'images/val')
    shutil.copytree(root / 'labels/train', root / 'labels/val')


def write_objects(root):
    for split in ('train', 'val'):
        path = write_coco(root, [coco_entry(1, [square(1, 1, 9, 9)], 3)])
        path.rename(path.with_name(f'instances_{split}.json'))
        folder = root / 'images' / split
        if not folder.is_dir():
            write_picture(folder / 'a.png')


def write_shapes(root):
    for split in ('train', 'val'):
        write_picture(root / f'images/{split}/a.png')
        shapes = [labelme_shape('car', points(1, 1, 9, 9))]
        write_labelme(root / f'images/{split}/a.json', shapes)


@pytest.mark.parametrize(
    ('write', 'num_files'),
    [
        (write_lists, 15),
        (write_share, 13),
        (write_polygons, 11),
        (write_objects, 4),
        (write_shapes, 4),
    ],
)
def test_every_layout_is_copied_whole(datasets, tmp_path, write, num_files):
    write(tmp_path / 'layout')
    version = datasets.version(str(tmp_path / 'layout'))
    assert len(version.manifest['files']) == num_files
    source, copy = read_folder(tmp_path / 'layout'), read_folder(version.folder)
    assert (copy.classes, copy.splits, copy.files) == (source.classes, source.splits, source.files)


def test_a_data_set_that_was_moved_is_named_and_found_again(datasets, blocks, tmp_path):
    version = datasets.version('blocks')
    moved = blocks.rename(tmp_path / 'moved')
    expected = f"data set 'blocks' lay in {blocks}, which is gone; .* create blocks FOLDER, .*"
    for ask in (datasets.concepts, datasets.version):
        with pytest.raises(FileNotFoundError, match=expected + version.id):
            ask('blocks')
    # A version is trained on without it.
    params = small(dataset_id='blocks', dataset_version_id=version.id)
    assert Runs(tmp_path / 'root').plan(params).version.folder == version.folder
    assert datasets.create('blocks', moved).folder == moved
    assert datasets.version('blocks').id == version.id


def test_files_that_lie_elsewhere_are_refused(datasets, tmp_path):
    write_polygons(tmp_path / 'there')
    write_polygons(tmp_path / 'here', path=str(tmp_path / 'there'))
    with pytest.raises(ValueError, match='there/images/train/a.png .* lies outside its folder'):
        datasets.create('here', tmp_path / 'here')


def test_many_make_the_same_version_at_once(blocks, tmp_path):
    left = tmp_path / 'root/versions/.partial-of-a-killed-one/data'
    left.mkdir(parents=True)
    with ThreadPoolExecutor(4) as threads:
        made = [*threads.map(lambda _: Datasets(tmp_path / 'root').version('blocks'), range(4))]
    assert len({version.id for version in made}) == 1 and made[0].differences() == []
    assert [path.name for path in made[0].place.parent.iterdir()] == [made[0].id]


def test_links_are_followed_when_copying(datasets, blocks, tmp_path):
    linked = tmp_path / 'linked'
    linked.mkdir()
    for name in ('images', 'masks', 'dataset.yaml'):
        (linked / name).symlink_to(blocks / name)
    version = datasets.version(str(linked))
    assert version.id == datasets.version('blocks').id
    assert not any(path.is_symlink() for path in version.folder.rglob('*'))


def test_a_split_that_cannot_be_used_is_left_out_with_its_reason(blocks):
    (blocks / 'images/test').mkdir()
    content = read_folder(blocks)
    assert list(content.splits) == ['train', 'val']
    assert 'images/test' in content.left_out['test']


@pytest.mark.parametrize(
    ('call', 'expected'),
    [
        (lambda d, f: d.get('blokcs'), "dataset_id is 'blokcs', .*; did you mean blocks"),
        (lambda d, f: d.get(''), "dataset_id is ''"),
        (lambda d, f: d.create('a b', f), "data set name 'a b'; expected letters"),
        (lambda d, f: d.create('blocks', f / 'sub'), 'sub is no folder'),
        (lambda d, f: d.create('blocks', _moved(f)), "'blocks' is .* already, not .*other"),
        (lambda d, f: d.find_version('blocks', 'abcdef'), 'is none of .*known: none yet'),
        (lambda d, f: d.find_version('blocks', d.version('blocks').id[:3]), 'is none of'),
    ],
)
def test_mistakes_are_named(datasets, blocks, call, expected):
    with pytest.raises((ValueError, FileNotFoundError), match=expected):
        call(datasets, blocks)


def _moved(folder):
    return shutil.copytree(folder, folder.with_name('other'))
