"""The task ``data``: its pictures, its sums, and one run of it."""

import json
import re

import numpy as np
import pytest

from mmseg_custom.benchmark.data import described_steps, rows, run_data
from mmseg_custom.benchmark.data_cases import CASES
from mmseg_custom.benchmark.data_worker import Side
from mmseg_custom.benchmark.photographs import paint_label, paint_photograph, write_photograph
from mmseg_custom.benchmark.run import Options
from mmseg_custom.registry import register_all

STEPS = {
    'ours': [{'LoadImageFromFile': 0.001, 'Flip': 0.001}, {'LoadImageFromFile': 0.003, 'Flip': 0}],
    'ours, cache': [{'CachedLoading': 0.001}, {'CachedLoading': 0.1}],
    'mmseg': [{'LoadImageFromFile': 0.004, 'Flip': 0.006}, {'LoadImageFromFile': 0.006, 'Flip': 1}],
}


def test_steps_are_added_up():
    found = rows(STEPS)
    assert found['decoding'].seconds == {'ours': [0.001, 0.003], 'mmseg': [0.004, 0.006]}
    assert found['after decoding'].seconds['ours'] == [0.001, 0]
    assert found['end to end'].ratio('mmseg').minimum == pytest.approx(5)
    assert found['end to end, cache'].seconds['ours'] == [0.001, 0.1]
    assert all(len(timing.seconds) == 2 for timing in found.values())
    text = described_steps([{'a': 0.001, 'b': 0.003}] * 2)
    assert text == 'a 1.00 (25%), b 3.00 (75%); together 4.00'


@pytest.mark.parametrize(
    ('size', 'roughness', 'suffix', 'bits'),
    # ADE20K's first validation picture has 1.2 bits per pixel. Smaller pictures have more of them:
    # at 2048x1024 the second has 8.5, as those of Cityscapes.
    [((512, 683), 0.1, '.jpg', (0.9, 1.5)), ((256, 512), 0.2, '.png', (7, 14))],
)
def test_generated_pictures_have_files_of_photographs_size(size, roughness, suffix, bits, tmp_path):
    picture = paint_photograph(np.random.default_rng(0), size, roughness)
    assert picture.shape == (*size, 3) and picture.std() > 30
    file = tmp_path / f'picture{suffix}'
    write_photograph(file, picture)
    assert bits[0] < 8 * file.stat().st_size / (size[0] * size[1]) < bits[1]
    label = paint_label(np.random.default_rng(0), size, 12)
    assert set(np.unique(label)) == set(range(12))


def test_both_sides_read_a_data_set_with_their_own_classes(tmp_path):
    register_all()
    case = CASES['camvid']
    small = type(case)(**{**vars(case), 'size': (60, 80), 'num_pictures': 2, 'crop_size': (32, 32)})
    small.generate(tmp_path)
    assert small.find(tmp_path.parent) is None and small.find(tmp_path) == tmp_path
    for stock, package in ((True, 'mmseg.'), (False, 'mmseg_custom.')):
        side = Side(small, str(tmp_path), stock)
        spent = side.read()
        assert type(side.dataset).__module__.startswith(package)
        assert type(side.preprocessor).__module__.startswith(package)
        assert {'sample', 'LoadImageFromFile', 'SegDataPreProcessor'} <= spent.keys()
        assert all(seconds > 0 for seconds in spent.values())


def test_mistakes_are_said():
    with pytest.raises(ValueError, match='--models cityscape: --task data knows ade20k, camvid'):
        run_data(Options('data', ('cityscape',)), print)
    with pytest.raises(FileNotFoundError, match='--data-root /nowhere has none of images/val'):
        run_data(Options('data', data_root='/nowhere'), print)


@pytest.mark.slow
def test_a_run_prints_and_writes_every_line(run_tool, tmp_path):
    file = tmp_path / 'result.json'
    words = ('--task', 'data', '--models', 'camvid', '--rounds', '1', '--json', file)
    done = run_tool('analysis_tools/benchmark.py', *words)
    assert done.returncode == 0, done.stderr
    assert re.search(r'camvid: mmseg, ms per picture: sample .* together [\d.]+\n', done.stdout)
    found = {result['task']: result for result in json.loads(file.read_text())['results']}
    assert {
        f'data {row}' for row in ('decoding', 'after decoding', 'loader', 'loader, cache')
    } < set(found)
    seconds = {task: result['measurements'][1]['median_seconds'] for task, result in found.items()}
    both = seconds['data decoding'] + seconds['data after decoding']
    assert seconds['data end to end'] == pytest.approx(both)
