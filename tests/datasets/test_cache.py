"""The cache of decoded pictures: the same samples, never stale, whole or not there."""

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.registry import DefaultScope

from mmseg_custom.datasets import FolderDataset, cache
from mmseg_custom.datasets.cache import SUFFIX, CachedLoading, digest, read_header
from mmseg_custom.datasets.cache_building import CachedDataset, build_cache
from mmseg_custom.registry import SCOPE, register_all

LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
NUM_PICTURES = 5


@pytest.fixture
def root(tmp_path) -> Iterator[Path]:
    """A folder of five pictures of 40x48 with labels 0 and 1."""
    generator = np.random.default_rng(0)
    for index in range(NUM_PICTURES):
        for kind, suffix, shape, top in (
            ('images', '.jpg', (40, 48, 3), 256),
            ('masks', '.png', (40, 48), 2),
        ):
            path = tmp_path / f'data/{kind}/train/{index}{suffix}'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), generator.integers(0, top, shape).astype(np.uint8))
    register_all()
    with DefaultScope.overwrite_default_scope(SCOPE):
        yield tmp_path / 'data'


def dataset(root: Path, pipeline=LOAD, **kwargs) -> FolderDataset:
    metainfo = dict(classes=('ground', 'thing'))
    return FolderDataset(str(root), metainfo=metainfo, pipeline=pipeline, **kwargs)


def stored(folder: Path) -> list[Path]:
    return sorted(folder.rglob(f'*{SUFFIX}'))


def assert_same(ours: dict, plain: dict) -> None:
    assert ours.keys() == plain.keys()
    for key, value in plain.items():
        assert type(ours[key]) is type(value), key
        if isinstance(value, np.ndarray):
            assert ours[key].dtype == value.dtype
            np.testing.assert_array_equal(ours[key], value)
        else:
            assert ours[key] == value, key


def keep_state(path: Path, content: bytes) -> None:
    """Replace a file's content; size and time of change stay."""
    state = path.stat()
    path.write_bytes(content[: state.st_size].ljust(state.st_size, b'\0'))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_samples_are_those_of_the_transforms(root, tmp_path):
    plain, cached = dataset(root), CachedDataset(dataset(root), tmp_path / 'cache')
    assert len(stored(tmp_path / 'cache')) == NUM_PICTURES
    for index in range(NUM_PICTURES):
        assert_same(cached[index], plain[index])
    # Nothing is decoded: it may as well be no picture any more.
    for path in (*root.rglob('*.jpg'), *root.rglob('*.png')):
        before = path.read_bytes()
        keep_state(path, b'no picture')
        assert path.read_bytes() != before
    again = CachedDataset(dataset(root), tmp_path / 'cache')
    assert cached[2]['img'].any() and again[2]['gt_seg_map'].any()


@pytest.mark.parametrize('changed', ['images/train/1.jpg', 'masks/train/1.png'])
def test_a_changed_file_is_never_served_stale(root, tmp_path, changed):
    cached = CachedDataset(dataset(root), tmp_path / 'cache')
    old = {path: path.stat().st_ino for path in stored(tmp_path / 'cache')}
    other = root / changed.replace('1', '3')
    shutil.copyfile(other, root / changed)
    assert_same(cached[1], dataset(root)[1])
    assert np.array_equal(cached[1]['img'], cached[3]['img']) == changed.startswith('images')
    again = CachedDataset(dataset(root), tmp_path / 'cache')
    now = {path: path.stat().st_ino for path in stored(tmp_path / 'cache')}
    assert now.keys() == old.keys() and sum(now[path] != old[path] for path in now) == 1
    assert_same(again[1], dataset(root)[1])


@pytest.mark.parametrize('mapped_bytes', [0, 2**22])
def test_what_is_handed_out_may_be_changed(root, tmp_path, monkeypatch, mapped_bytes):
    monkeypatch.setattr(cache, 'MAPPED_BYTES', mapped_bytes)
    cached = CachedDataset(dataset(root), tmp_path / 'cache')
    contents = [path.read_bytes() for path in stored(tmp_path / 'cache')]
    sample = cached[0]
    before = sample['img'].copy()
    sample['img'][:] = 7
    sample['gt_seg_map'] += 1
    sample['seg_fields'].append('depth')
    assert isinstance(_owner(sample['img']), np.ndarray) == bool(mapped_bytes)
    np.testing.assert_array_equal(cached[0]['img'], before)
    assert cached[0]['gt_seg_map'].max() == 1 and cached[0]['seg_fields'] == ['gt_seg_map']
    assert [path.read_bytes() for path in stored(tmp_path / 'cache')] == contents


def _owner(array: np.ndarray):
    """What the memory of an array belongs to."""
    base = array.base
    return base.obj if isinstance(base, memoryview) else base


@pytest.mark.parametrize('keep', [0, 5, 100, -1])
def test_a_torn_file_is_written_again(root, tmp_path, keep):
    cached = CachedDataset(dataset(root), tmp_path / 'cache')
    torn = stored(tmp_path / 'cache')[2]
    whole = torn.read_bytes()
    torn.write_bytes(whole[:keep])
    assert read_header(torn) is None
    for index in range(NUM_PICTURES):
        assert_same(cached[index], dataset(root)[index])
    left = torn.with_name(f'.{torn.stem}.123.partial{torn.suffix}')
    left.write_bytes(b'of a killed process')
    CachedDataset(dataset(root), tmp_path / 'cache')
    assert torn.read_bytes() == whole and not left.exists()


def test_other_settings_are_other_files(root, tmp_path):
    folder = tmp_path / 'cache'
    grey = [dict(type='LoadImageFromFile', color_type='grayscale'), LOAD[1]]
    CachedDataset(dataset(root), folder)
    assert_same(CachedDataset(dataset(root, grey), folder)[0], dataset(root, grey)[0])
    ignored = CachedDataset(dataset(root, ignore_index=7), folder)
    assert len(stored(folder)) == 3 * NUM_PICTURES
    assert_same(ignored[1], dataset(root, ignore_index=7)[1])


def test_digests_tell_values_apart():
    values = [1, 1.5, '1', b'1', [1], {'a': [1]}, np.ones(2), np.ones(2, np.uint8), Path('a')]
    values += [cv2.imread, Path, CachedLoading('a', [], ['x']), CachedLoading('b', [], ['x'])]
    assert len({digest(value) for value in values}) == len(values)
    text = ''.join(['ab', 'c'])
    assert digest([text, text]) == digest(['abc', 'ab' + 'c'])


class Reader:
    """A data set's own way of reading labels."""

    def __init__(self, value: int) -> None:
        self.value = value


def test_a_reader_of_labels_belongs_to_the_key(root):
    info = dataset(root).get_data_info(0)
    paths = []
    for reader in (None, Reader(1), Reader(1), Reader(2)):
        sample = {**info, 'mask_reader': reader, 'annotation': {'polygon': np.ones((3, 2))}}
        paths.append(CachedLoading('cache', [], sample.keys()).path(sample))
    assert paths[1] == paths[2] and len(set(paths)) == 3
    moved = {**sample, 'sample_idx': 99}
    assert CachedLoading('cache', [], sample.keys()).path(moved) == paths[3]


def test_data_sets_inside_others(root, tmp_path):
    other = shutil.copytree(root, tmp_path / 'other')
    cv2.imwrite(str(other / 'images/train/2.jpg'), np.full((8, 9, 3), 50, np.uint8))
    cv2.imwrite(str(other / 'masks/train/2.png'), np.ones((8, 9), np.uint8))
    parts = [dataset(root), dataset(other)]
    both = dict(type=ConcatDataset, datasets=parts)
    whole = CachedDataset(RepeatDataset(both, 2), tmp_path / 'cache')
    assert [type(part.pipeline.transforms[0]) for part in parts] == [CachedLoading] * 2
    assert len(whole) == 4 * NUM_PICTURES == 2 * len(stored(tmp_path / 'cache'))
    assert whole[7]['img'].shape == (8, 9, 3)
    assert_same(whole[7], dataset(other)[2])
    with pytest.raises(ValueError, match='begins with RandomFlip; expected LoadImageFromFile'):
        CachedDataset(dataset(root, [dict(type='RandomFlip', prob=0.5), *LOAD]), tmp_path)


def test_earlier_draws_are_no_part_of_a_sample(root, tmp_path):
    cached = CachedDataset(dataset(root), tmp_path / 'cache').pipeline.transforms[0]
    info = {**dataset(root).get_data_info(0), 'decode_target': (3, 3), 'scale': (9, 9)}
    assert cached.is_stored(info)
    found = cached(info)
    assert found['img'].shape == (40, 48, 3) and found['scale'] == (9, 9)


def test_filling_leaves_the_generators_alone(root, tmp_path):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    CachedDataset(dataset(root), tmp_path / 'cache')
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_too_little_room_is_said_with_numbers(root, tmp_path, monkeypatch):
    monkeypatch.setattr('mmseg_custom.datasets.cache_building.NUM_MEASURED', 2)
    usage = shutil.disk_usage(tmp_path)._replace(free=2**28 + 5000)
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: usage)
    with pytest.raises(
        OSError, match=r'needs 0\.0 GB more for 2 pictures of 0\.01 MB.* 0\.3 GB left'
    ):
        CachedDataset(dataset(root), tmp_path / 'cache')
    assert 0 < len(stored(tmp_path / 'cache')) < NUM_PICTURES


def test_a_folder_that_cannot_be_written(root, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match=r'cannot fill the cache .*file/cache: Not a directory; take'):
        CachedDataset(dataset(root), tmp_path / 'file/cache')


def test_an_unreadable_picture_is_left_to_the_training(root, tmp_path, caplog):
    bad = root / 'images/train/4.jpg'
    bad.write_bytes(b'')
    with caplog.at_level('WARNING', 'mmengine'):
        cached = CachedDataset(dataset(root), tmp_path / 'cache')
    assert len(stored(tmp_path / 'cache')) == NUM_PICTURES - 1
    with pytest.raises(ValueError, match=f'cannot read the picture {bad}: the file is empty'):
        cached[4]


def _fill(root: Path, folder: Path, barrier, numbers) -> None:
    source = dataset(root)
    transforms = source.pipeline.transforms
    cached = CachedLoading(folder, transforms, source.get_data_info(0))
    load, number = cached.load, multiprocessing.Value('i', 0)

    def counted(sample: dict):
        with number.get_lock():
            number.value += 1
        return load(sample)

    cached.load = counted
    barrier.wait()
    build_cache(source, cached, num_workers=2)
    assert all(cached.is_stored(source.get_data_info(i)) for i in range(len(source)))
    numbers.put(number.value)


def test_two_processes_fill_one_cache_once(root, tmp_path):
    context = multiprocessing.get_context('fork')
    barrier, numbers = context.Barrier(2), context.Queue()
    arguments = (root, tmp_path / 'cache', barrier, numbers)
    processes = [context.Process(target=_fill, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    found = sorted(numbers.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert found == [0, NUM_PICTURES]
    assert len(stored(tmp_path / 'cache')) == NUM_PICTURES
