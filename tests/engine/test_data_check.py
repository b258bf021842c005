"""What is looked at before a training, and samples that it may do without."""

import json
import shutil

import cv2
import numpy as np
import pytest
from processes import run_in_two
from training_runs import assert_equal, configured, killed, outcome, pictures, run

from mmseg_custom.datasets.inspection import TrainingDataCheck, training_check
from mmseg_custom.datasets.inspection.invalid_samples import LIST_NAME
from mmseg_custom.engine.config import load_config


@pytest.fixture(scope='module')
def good(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp('data') / 'data')


@pytest.fixture
def data(good, tmp_path):
    """Eleven training pictures, of which one ends early, and two of validation."""
    root = shutil.copytree(good, tmp_path / 'data')
    spoilt = root / 'images/train/train_004.jpg'
    spoilt.write_bytes(spoilt.read_bytes()[:900])
    return root


def splits(root, **options):
    config = dict(type='FolderDataset', data_root=str(root), pipeline=[], **options)
    return {'train': config, 'val': {**config, 'split': 'val'}}


def wrong_mask(root, value, stem='train_007'):
    mask = np.full((128, 128), value, np.uint8)
    cv2.imwrite(str(root / f'masks/train/{stem}.png'), mask)


def test_bad_samples_are_left_out_listed_and_the_same_after_a_resume(data, good, tmp_path):
    config = configured(data, 'invalid_data_tolerance_percent=10')
    whole = run(config, tmp_path / 'whole')
    assert whole.train_loop.stream.size == 10
    left = [
        whole.train_dataloader.dataset.get_data_info(i)['img_path'].rsplit('_')[-1]
        for i in range(10)
    ]
    assert left == [f'{i:03}.jpg' for i in range(11) if i != 4]
    head, record = map(json.loads, (tmp_path / 'whole' / LIST_NAME).read_text().splitlines())
    assert head == {
        'tolerance_percent': 10,
        'checked': {'train': 11, 'val': 2},
        'invalid': 1,
    }
    assert record['split'] == 'train' and record['image'].endswith('train_004.jpg')
    assert 'train_004.jpg is truncated' in record['reason']

    options = ('invalid_data_tolerance_percent=10',)
    run(configured(data, *options, hooks=killed(7)), tmp_path / 'stopped')
    # The picture is whole again, but the run goes on as it began.
    shutil.copy(good / 'images/train/train_004.jpg', data / 'images/train/train_004.jpg')
    run(configured(data, *options), tmp_path / 'stopped', resume=True)
    assert_equal(outcome(tmp_path / 'stopped'), outcome(tmp_path / 'whole'))


def test_more_bad_samples_than_may_be_stop_the_training(data, tmp_path):
    with pytest.raises(ValueError, match=r'1 of 11 samples of train are bad \(9.09 %\)') as caught:
        run(configured(data, 'invalid_data_tolerance_percent=9'), tmp_path / 'run')
    for text in ('percent=9:', 'train_004.jpg is truncated', 'tolerance_percent=10'):
        assert text in str(caught.value)
    assert not (tmp_path / 'run' / LIST_NAME).exists()


def test_a_quick_look_stops_a_training_and_can_be_left_out(good, tmp_path):
    root = shutil.copytree(good, tmp_path / 'data')
    wrong_mask(root, 77)
    with pytest.raises(ValueError, match=r'train_007.png holds 77 \(16384 pixels\)') as caught:
        run(configured(root), tmp_path / 'run')
    assert 'labels: {ignore: [255, 77], background: 0' in str(caught.value)
    assert 'check_dataset.py' in str(caught.value)
    options = dict(work_dir=tmp_path, depth=False)
    assert TrainingDataCheck(splits(root), **options).run() == {}


@pytest.mark.parametrize(
    ('indices', 'expected'),
    [
        (None, [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]),
        (6, [0, 1, 2, 3, 5]),
        (-8, [-8, -6, -5, -4, -3, -2, -1]),
        ([9, 4, 2], [9, 2]),
        ([1, 2], None),
    ],
)
def test_indices_of_the_config_are_kept(data, tmp_path, indices, expected):
    options = {} if indices is None else {'indices': indices}
    configs = splits(data, **options)
    del configs['val']
    nested = {'train': dict(type='RepeatDataset', times=2, dataset=configs['train'])}
    check = TrainingDataCheck(nested, tmp_path, tolerance_percent=50)
    kept = check.run()
    assert kept == {'train': [expected]}
    check.apply(kept)
    assert nested['train']['dataset'].get('indices') == (expected or indices)


def test_the_list_of_another_run_is_not_left_behind(data, good, tmp_path):
    TrainingDataCheck(splits(data), tmp_path, tolerance_percent=10).run()
    assert (tmp_path / LIST_NAME).is_file()
    with pytest.raises(ValueError, match='train_004.jpg is truncated'):
        TrainingDataCheck(splits(data), tmp_path).run()
    assert (tmp_path / LIST_NAME).is_file(), 'a training that did not begin took the list away'
    TrainingDataCheck(splits(good), tmp_path).run()
    assert not (tmp_path / LIST_NAME).exists()


def test_a_resume_in_another_folder_takes_the_list_along(data, tmp_path):
    TrainingDataCheck(splits(data), tmp_path, tolerance_percent=10).run()
    other = tmp_path / 'other'
    lines = []
    check = TrainingDataCheck(splits(data), other, earlier=[other, tmp_path], show=lines.append)
    assert len(check.run()['train'][0]) == 10
    assert (other / LIST_NAME).read_bytes() == (tmp_path / LIST_NAME).read_bytes()
    assert lines == [f'1 bad samples are left out, as {tmp_path / LIST_NAME} says']


def test_the_quick_look_reads_few_pixels_and_says_so(good, tmp_path, monkeypatch):
    monkeypatch.setattr(training_check, 'MOST_HEADERS', 5)
    monkeypatch.setattr(training_check, 'MASKS_READ', 2)
    root = shutil.copytree(good, tmp_path / 'data')
    # Of eleven the first and the sixth are read, and the headers of every second.
    wrong_mask(root, 99, 'train_001')
    lines = []
    TrainingDataCheck(splits(root), tmp_path, show=lines.append, warn=lines.append).run()
    assert lines[0].startswith('train: looked at the headers of 5 of 11 samples')
    wrong_mask(root, 99, 'train_005')
    with pytest.raises(ValueError, match='train_005.png holds 99'):
        TrainingDataCheck(splits(root), tmp_path, show=lines.append).run()
    with pytest.raises(ValueError, match=r'2 of 11.*train_001.png holds 99'):
        TrainingDataCheck(splits(root), tmp_path, depth='full', show=lines.append).run()

    monkeypatch.setattr(training_check, 'SECONDS', 0)
    warnings = []
    check = TrainingDataCheck(splits(good), tmp_path, show=lines.append, warn=warnings.append)
    check.run()
    assert 'stopped after 0 s and 0 of 11 samples' in warnings[0]


def test_one_image_in_both_splits_is_a_warning(good, tmp_path):
    root = shutil.copytree(good, tmp_path / 'data')
    shutil.copy(root / 'images/train/train_000.jpg', root / 'images/val/val_001.jpg')
    warnings = []
    TrainingDataCheck(splits(root), tmp_path, warn=warnings.append).run()
    (line,) = [line for line in warnings if 'same bytes' in line]
    assert line.startswith('train and val: 1 images') and 'val_001.jpg' in line


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('check_data=fast', r"check_data='fast'; expected True, False or 'full'"),
        ('invalid_data_tolerance_percent=101', 'percent=101; expected a number of percent'),
        ('invalid_data_tolerance_percent=yes', "percent='yes'; expected a number of percent"),
    ],
)
def test_wrong_values_of_the_keys(good, tmp_path, option, message):
    with pytest.raises(ValueError, match=message):
        run(configured(good, option), tmp_path / 'run')


def test_the_keys_are_known():
    options = ['check_data=full', 'invalid_data_tolerance_percent=0.5']
    config = load_config('quickstart/segformer_mit-b0_quickstart.py', options)
    assert (config.check_data, config.invalid_data_tolerance_percent) == ('full', 0.5)


def train_in_one_of_two(rank: int, data, folder) -> None:
    config = configured(data, 'invalid_data_tolerance_percent=10')
    runner = run(config, folder, launcher='pytorch')
    assert runner.train_loop.stream.size == 10, f'rank {rank}'
    with pytest.raises(ValueError, match='train_004.jpg is truncated'):
        run(configured(data), folder.with_name('strict'), launcher='pytorch')


@pytest.mark.slow
def test_two_processes_leave_out_the_same_and_stop_together(data, tmp_path):
    run_in_two(train_in_one_of_two, data, tmp_path / 'run')
    assert len((tmp_path / 'run' / LIST_NAME).read_text().splitlines()) == 2


def test_members_of_a_mixture_are_counted_together(data, good, tmp_path):
    members = [splits(root)['train'] for root in (good, data)]
    shown = []
    TrainingDataCheck(
        {'train': dict(type='ConcatDataset', datasets=members)},
        tmp_path,
        tolerance_percent=10,
        show=shown.append,
        warn=shown.append,
    ).run()
    assert shown[0].startswith('bad samples that are left out: 1 of 22 in train; ')
