"""What the warning about a slow loader says."""

import pytest

from mmseg_custom.engine import loader_speed
from mmseg_custom.engine.loader_speed import loader_report, reads_from_cache


@pytest.mark.parametrize(
    ('cores', 'arguments', 'expected'),
    [
        # Four workers give 8 pictures in 0.4 s: one takes 0.2 s. The model alone needs 0.1 s.
        (
            16,
            (0.3, 0.4, 8, 4, False),
            '300 of 400 ms of an iteration (75%) went into waiting for the loader; each of its 4 '
            'workers takes 200 ms per picture, 16 would keep up with the model: '
            'set train_dataloader.num_workers=16 (each process has 16 cores)',
        ),
        (
            8,
            (0.3, 0.4, 8, 4, False),
            '16 would keep up with the model: set train_dataloader.num_workers=8 (each process has '
            '8 cores); set cache_images=True, which keeps decoded pictures on the disk',
        ),
        (4, (0.3, 0.4, 8, 4, True), 'model: store smaller pictures, on a faster disk, or'),
        (4, (0.3, 0.4, 8, 4, False), 'model: set cache_images=True, which'),
        (
            2,
            (0.08, 0.16, 4, 0, False),
            '; reading without workers takes 20 ms per picture, 1 would keep up with the model: '
            'set train_dataloader.num_workers=1 (each process has 2 cores)',
        ),
    ],
)
def test_numbers_and_advice(monkeypatch, cores, arguments, expected):
    monkeypatch.setattr(loader_speed, 'cores_per_process', lambda: cores)
    report = loader_report(*arguments)
    assert expected in report
    assert report.endswith(expected) or expected.endswith((' or', 'which'))


def test_cores_are_shared_by_the_processes(monkeypatch):
    alone = loader_speed.cores_per_process()
    monkeypatch.setenv('LOCAL_WORLD_SIZE', str(2 * alone))
    assert loader_speed.cores_per_process() == 1


def test_a_cache_is_found_inside_wrappers():
    plain = dict(type='FolderDataset')
    cached = dict(type='mmseg_custom.CachedDataset', dataset=plain)
    assert reads_from_cache(dict(dataset=dict(type='RepeatDataset', dataset=cached)))
    assert not reads_from_cache(dict(dataset=plain)) and not reads_from_cache(None)
