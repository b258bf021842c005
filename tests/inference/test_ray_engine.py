"""Two local workers of a real Ray cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from single_prediction import predict_image

from mmseg_custom.inference.prediction_files import Job
from mmseg_custom.inference.predictor import load_model
from mmseg_custom.inference.ray_engine import MANIFEST, read_manifest, remaining_jobs

ROOT = Path(__file__).parents[2]
COUNT = 60


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / 'pictures'
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(COUNT):
        picture = generator.integers(0, 256, (64, 96, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f'{number:03d}.png')
    (folder / 'broken.jpg').write_text('no picture')
    return folder


def test_a_manifest_that_was_cut_off_and_one_of_another_model(tmp_path):
    assert read_manifest(tmp_path) == {}
    jobs, lines, options = [], [], dict(model='a.py', weights='b.pth')
    for name in ('first', 'changed', 'lost', 'cut'):
        image, mask = tmp_path / f'{name}.jpg', tmp_path / f'{name}.png'
        for path in (image, mask):
            path.write_text(name)
        jobs.append(Job(image, {'mask': mask}))
        state = [len(name), image.stat().st_mtime_ns, ['mask']]
        entry = {'image': str(image), 'model': ['a.py', 'b.pth'], 'state': state}
        lines.append(json.dumps(entry))
    (tmp_path / MANIFEST).write_text('\n'.join(lines)[:-20])
    jobs[1].image.write_text('another')
    jobs[2].files['mask'].unlink()
    assert remaining_jobs(jobs, tmp_path, options) == jobs[1:]
    with pytest.raises(ValueError, match=r'of the model a.py b.pth, not of c.pth; .* --overwrite'):
        remaining_jobs(jobs, tmp_path, dict(model='c.pth', weights=None))


DEADLY = """
import os
import signal

import numpy as np

from mmseg_custom.registry import TRANSFORMS


@TRANSFORMS.register_module()
class DieOfBlack:
    def __call__(self, results):
        if not np.any(results['img']):
            os.kill(os.getpid(), signal.SIGKILL)
        return results
"""

DEADLY_PIPELINE = """
custom_imports = dict(imports=['deadly'])
test_dataloader['dataset']['pipeline'].insert(1, dict(type='DieOfBlack'))
"""


def tool_call(config, checkpoint, folder, out):
    call = [sys.executable, ROOT / 'tools/predict.py', config, checkpoint, folder, '--out-dir', out]
    return map(str, [*call, '--save', 'mask', '--device', 'cpu', '--engine', 'ray'])


@pytest.mark.slow
def test_a_picture_that_kills_every_worker(
    config_path, checkpoint_path, folder, tmp_path, monkeypatch
):
    pytest.importorskip('ray')
    (tmp_path / 'deadly.py').write_text(DEADLY)
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}:{os.environ.get("PYTHONPATH", "")}')
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(folder / '020_black.png')
    out = tmp_path / 'out'
    config = tmp_path / 'deadly_config.py'
    config.write_text(config_path.read_text() + DEADLY_PIPELINE)
    call = [*tool_call(config, checkpoint_path, folder, out)]
    run = subprocess.run(call, capture_output=True, text=True, timeout=900)
    assert run.returncode == 1, run.stderr
    assert '2 of 62 files failed:' in run.stderr and 'broken.jpg (10 bytes)' in run.stderr
    assert f'{folder}/020_black.png: 3 workers that had it alone died' in run.stderr
    assert len([*out.glob('*_classes.png')]) == len(read_manifest(out)) == COUNT


@pytest.mark.slow
def test_two_workers_of_which_one_dies_and_a_run_that_goes_on(
    config_path, checkpoint_path, folder, tmp_path
):
    pytest.importorskip('ray')
    out = tmp_path / 'out'
    call = [*tool_call(config_path, checkpoint_path, folder, out)]
    run = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 240
    while not [*out.glob('*.png')] and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    killed = kill_a_worker(run.pid)
    text, errors = (stream.decode() for stream in run.communicate(timeout=280))
    assert run.returncode == 1, errors
    assert '1 of 61 files failed:' in errors and 'broken.jpg (10 bytes)' in errors
    assert killed and f'{COUNT} pictures: ' in text
    model = load_model(config_path, checkpoint_path, 'cpu')
    for number in range(0, COUNT, 7):
        expected = predict_image(model, folder / f'{number:03d}.png')
        found = np.asarray(Image.open(out / f'{number:03d}_classes.png'))
        np.testing.assert_array_equal(found, expected)

    lines = (out / MANIFEST).read_text().splitlines()
    assert len(lines) == COUNT
    (out / MANIFEST).write_text('\n'.join(lines[:-3]) + '\n')
    kept = {path: path.stat().st_mtime_ns for path in out.glob('*.png')}
    again = subprocess.run(call, capture_output=True, text=True, timeout=280)
    assert f'{COUNT - 3} of 61 files are done already' in again.stdout
    changed = [path for path, before in kept.items() if path.stat().st_mtime_ns != before]
    assert len(changed) == 3 and len(read_manifest(out)) == COUNT


def kill_a_worker(driver: int) -> bool:
    """Kill one of the actors that hold a model, among the processes that a driver began."""
    table = subprocess.run(['ps', '-eo', 'pid,ppid,args'], capture_output=True, text=True).stdout
    rows = [line.split(maxsplit=2) for line in table.splitlines()[1:]]
    parents = {pid: parent for pid, parent, *_ in rows}

    def is_below(pid: str) -> bool:
        return pid in parents and (parents[pid] == str(driver) or is_below(parents[pid]))

    actors = [pid for pid, _, args in rows if args.startswith('ray::') and 'Worker' in args]
    found = next(filter(is_below, actors), None)
    if found is not None:
        os.kill(int(found), signal.SIGKILL)
    return found is not None
