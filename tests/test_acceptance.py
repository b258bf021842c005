"""What the project promises, at its full length: minutes each, so `make test-slow` runs them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from processes import free_port

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'configs/quickstart/segformer_mit-b0_quickstart.py'
TIMEOUT_S = 1700

pytestmark = pytest.mark.slow


def printed(pattern: str, result: subprocess.CompletedProcess) -> float:
    """The number that a command printed last in this place."""
    assert result.returncode == 0, result.stdout + result.stderr
    numbers = re.findall(pattern, result.stdout)
    assert numbers, f'no {pattern} in {result.stdout}'
    return float(numbers[-1])


def best_val_miou(result: subprocess.CompletedProcess) -> float:
    return printed(r'best checkpoint \(mIoU (\d+\.\d+)\)', result)


def run_quickstart(model: str, folder: Path, run_tool) -> subprocess.CompletedProcess:
    return run_tool('quickstart.py', model, cwd=folder, timeout=TIMEOUT_S)


@pytest.fixture(scope='module')
def segformer_run(tmp_path_factory, run_tool):
    """The SegFormer quick start and the folder it ran in."""
    folder = tmp_path_factory.mktemp('segformer')
    return run_quickstart('segformer', folder, run_tool), folder


def check_quickstart(result: subprocess.CompletedProcess, folder: Path) -> None:
    assert printed(r'mIoU on the test pictures: (\d+\.\d+)', result) >= 80
    for text in ('image / ground truth / prediction', 'curves', 'checkpoint'):
        path = re.findall(rf'^{text}: +(\S+)$', result.stdout, re.M)[-1]
        assert (folder / path).stat().st_size > 10_000, text


def test_segformer_quickstart(segformer_run):
    check_quickstart(*segformer_run)


def test_the_readme_predicts_on_a_picture_of_the_quick_start(segformer_run):
    _, folder = segformer_run
    readme = (ROOT / 'README.md').read_text().splitlines()
    (line,) = (line for line in readme if 'images/test/test_001.jpg' in line)
    command = line.replace('.venv/bin/python tools', f'{sys.executable} {ROOT}/tools')
    subprocess.run(['bash', '-c', command], cwd=folder, check=True, timeout=TIMEOUT_S)
    found = json.loads((folder / 'predicted/test_001_regions.geojson').read_text())
    assert len({feature['properties']['name'] for feature in found['features']}) > 1
    assert (folder / 'predicted/test_001_overlay.png').stat().st_size > 10_000


def test_segmenter_quickstart(tmp_path, run_tool):
    check_quickstart(run_quickstart('segmenter', tmp_path, run_tool), tmp_path)


def test_two_processes_are_as_good_as_one(tmp_path, segformer_run):
    """The same number of iterations, each of twice as many pictures."""
    command = ['bash', ROOT / 'tools/dist_train.sh', ROOT / CONFIG, '2']
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env={
            **os.environ,
            'PYTHON': sys.executable,
            'PORT': str(free_port()),
            'OMP_NUM_THREADS': '1',
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert best_val_miou(result) >= best_val_miou(segformer_run[0]) - 3
