import json

import numpy as np
import pytest
from mmengine.visualization import LocalVisBackend
from PIL import Image

from mmseg_custom.visualization.curves import plot_curves, read_curves


def write_run(folder, records):
    path = folder / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(record) + '\n' for record in records))
    return path


def train(*steps, loss=1.0):
    return [{'lr': 0.1, 'loss': loss, 'iter': step, 'step': step} for step in steps]


def test_reads_what_mmengine_writes(tmp_path):
    backend = LocalVisBackend(str(tmp_path / '20260101_000000' / 'vis_data'))
    backend.add_scalars({'lr': 0.01, 'loss': 2.5, 'decode.acc_seg': 50.0}, step=50)
    backend.add_scalars({'mIoU': 41.5, 'aAcc': 80.0}, step=100)
    curves = read_curves(tmp_path)
    assert curves.loss == [(50, 2.5)]
    assert curves.lr == [(50, 0.01)]
    assert curves.mIoU == [(100, 41.5)] and curves.score == 'mIoU'
    backend.add_scalars({'top1': 70.5, 'top5': 90.0}, step=150)
    classifier = read_curves(tmp_path)
    assert classifier.top1 == [(150, 70.5)] and classifier.score == 'top1'


def test_a_resumed_run_replaces_what_was_logged_after_its_checkpoint(tmp_path):
    write_run(
        tmp_path / '20260101_000000',
        [*train(50, 100, loss=3.0), {'mIoU': 10.0, 'step': 100}, *train(150, 200, loss=9.0)],
    )
    write_run(tmp_path / '20260101_010000', [*train(150, loss=2.0), {'mIoU': 20.0, 'step': 150}])
    # A test of the checkpoint in the same folder, and a resume that was stopped at once.
    write_run(tmp_path / '20260101_020000', [{'mIoU': 99.0, 'step': 0}])
    write_run(tmp_path / '20260101_030000', [])
    curves = read_curves(tmp_path)
    assert curves.loss == [(50, 3.0), (100, 3.0), (150, 2.0)]
    assert curves.mIoU == [(100, 10.0), (150, 20.0)]


def test_a_fresh_start_in_the_same_folder_replaces_everything(tmp_path):
    write_run(tmp_path / '20260101_000000', train(50, 100, 150, loss=3.0))
    write_run(tmp_path / '20260101_010000', train(50, loss=2.0))
    assert read_curves(tmp_path).loss == [(50, 2.0)]


def test_takes_a_file_and_each_level_of_folders(tmp_path):
    path = write_run(tmp_path / '20260101_000000', train(10))
    for log in (path, path.parent, path.parent.parent, tmp_path):
        assert read_curves(log).loss == [(10, 1.0)]


def test_a_killed_run_may_end_in_half_a_line(tmp_path):
    path = write_run(tmp_path, train(10, 20))
    path.write_text(path.read_text() + '{"lr": 0.1, "lo')
    assert read_curves(tmp_path).loss == [(10, 1.0), (20, 1.0)]
    path.write_text('{"lr": 0.1, "lo\n' + path.read_text())
    with pytest.raises(ValueError, match='line 1 is not JSON'):
        read_curves(tmp_path)


@pytest.mark.parametrize(
    'records',
    [
        train(10),
        train(10, 20, 30),
        [*train(10, 20), {'mIoU': 55.0, 'step': 20}],
        [*train(10), {'loss': float('nan'), 'step': 20}, {'mIoU': float('nan'), 'step': 20}],
        [{'mIoU': 55.0, 'step': 0}],
    ],
    ids=['one point', 'no validation', 'validation', 'not finite', 'validation only'],
)
def test_draws_three_panels(tmp_path, records):
    write_run(tmp_path, records)
    path = plot_curves(tmp_path, tmp_path / 'pictures' / 'curves.png')
    picture = np.asarray(Image.open(path).convert('RGB')).astype(int)
    assert picture.shape == (418, 1540, 3)
    red, green, blue = np.moveaxis(picture, -1, 0)
    has_loss = any('loss' in record for record in records)
    thirds = np.arange(1540) // 514
    found = [set(thirds[(mask).any(0)]) for mask in (red > blue + 80, blue > red + 80)]
    assert found == ([{0}, {1}] if has_loss else [set(), set()])
    has_miou = any(np.isfinite(record.get('mIoU', np.nan)) for record in records)
    assert set(thirds[(green > red + 60).any(0)]) - {1} == ({2} if has_miou else set())


def test_errors_when_there_is_nothing_to_draw(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no scalars.json.*--work-dir.*LocalVisBackend'):
        plot_curves(tmp_path, tmp_path / 'curves.png')
    write_run(tmp_path, [{'time': 0.1, 'step': 1}])
    with pytest.raises(ValueError, match='no line with loss, lr, mIoU, top1'):
        plot_curves(tmp_path, tmp_path / 'curves.png')
    assert not (tmp_path / 'curves.png').exists()
