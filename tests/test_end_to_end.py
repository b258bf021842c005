"""Train, resume, test and predict through the real tools, in processes of their own."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'configs/quickstart/segformer_mit-b0_quickstart.py'
CAMVID = 'configs/segformer/segformer_mit-b0_1xb8-4k_camvid-360x480.py'


def short(data_root: Path, **options) -> list[str]:
    """Options that make a run of some iterations on a few pictures."""
    options = {
        'data_root': data_root,
        'max_iters': 4,
        'crop_size': '(64,64)',
        'train_dataloader.batch_size': 2,
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        'val_dataloader.dataset.indices': 2,
        'val_dataloader.num_workers': 0,
        'val_dataloader.persistent_workers': False,
        'test_dataloader.dataset.indices': 2,
        'default_hooks.logger.interval': 1,
        'default_hooks.checkpoint.interval': 2,
        'train_cfg.val_interval': 2,
        **options,
    }
    return ['--cfg-options', *(f'{key}={value}' for key, value in options.items())]


@pytest.fixture(scope='module')
def data_root(tmp_path_factory) -> Path:
    from mmseg_custom.datasets import generate_quickstart_dataset

    root = tmp_path_factory.mktemp('generated') / 'quickstart'
    return generate_quickstart_dataset(root)


def checked(result: subprocess.CompletedProcess) -> str:
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def printed_test_command(out: str) -> list[str]:
    """The test tool below tools/, config and checkpoint, as the end of a training names them."""
    words = shlex.split(re.search('test it with: python (.*)', out)[1])
    assert words[0] == 'tools/test.py' and all(Path(ROOT, word).is_file() for word in words)
    return ['python', 'test.py', *words[1:]]


@pytest.mark.provider
def test_train_resume_test_predict(tmp_path, data_root, run_tool):
    run = tmp_path / 'my run'
    out = checked(run_tool('train.py', CONFIG, '--work-dir', run, *short(data_root)))
    lines = [line for line in out.splitlines() if '  train ' in line]
    assert len(lines) == 4
    for part in ('loss', 'lr', 'img/s', 'eta'):
        assert part in lines[-1]
    assert 'triangle' in out, 'no per-class table at validation'
    assert (run / 'curves.png').stat().st_size > 10_000
    assert 'best_mIoU' in printed_test_command(out)[-1]

    resumed = checked(
        run_tool('train.py', CONFIG, '--work-dir', run, '--resume', *short(data_root, max_iters=6))
    )
    assert 'train 5/6' in resumed and 'train 4/6' not in resumed
    rates = [float(rate) for rate in re.findall(r'train \d/6 .*  lr (\S+)', resumed)]
    assert rates[0] > 0 and rates[1] == 0, 'not the schedule of six iterations'
    config = (run / Path(CONFIG).name).read_bytes()
    command = printed_test_command(resumed)
    # No training pictures are needed to test.
    nowhere = 'train_dataloader.dataset.data_root=nowhere'
    out = checked(run_tool(*command[1:], '--tta', '--cfg-options', nowhere))
    assert 'mIoU' in out
    assert (run / Path(CONFIG).name).read_bytes() == config, "the test replaced the run's config"
    assert json.loads((run / 'report/metrics.json').read_text())['summary']['mIoU'] >= 0
    assert (run / 'report/confusion_matrix.png').stat().st_size > 5_000
    last = torch.load(run / 'iter_6.pth', weights_only=False)
    assert last['meta']['iter'] == 6
    assert last['meta']['dataset_meta']['classes'][0] == 'background'

    tested = checked(
        run_tool(
            *('test.py', CONFIG, run / 'iter_6.pth', '--work-dir', tmp_path / 'test'),
            *('--out', tmp_path / 'maps', '--show-dir', tmp_path / 'shown', '--tta', '--amp'),
            *short(data_root),
        )
    )
    assert 'mIoU' in tested
    metrics = json.loads((tmp_path / 'test/report/metrics.json').read_text())['summary']
    assert 0 <= metrics['mIoU'] <= 100
    maps = sorted((tmp_path / 'maps').glob('*.png'))
    shown = sorted((tmp_path / 'shown').glob('*.png'))
    assert [m.stem for m in maps] == [s.stem for s in shown] == ['test_000', 'test_001']

    picture = data_root / 'images/test/test_000.jpg'
    checked(
        run_tool(
            'predict.py', CONFIG, run / 'iter_6.pth', picture, '--out-dir', tmp_path / 'predicted'
        )
    )
    predicted = Image.open(tmp_path / 'predicted/test_000_classes.png')
    assert predicted.mode == 'P' and predicted.size == (128, 128)
    assert np.asarray(predicted).max() < 6
    assert (tmp_path / 'predicted/test_000_overlay.png').is_file()


@pytest.mark.slow
def test_resume_prefers_the_runs_own_checkpoints(tmp_path, data_root, run_tool):
    """Also with weights to start from, which only a new run uses."""
    checked(
        run_tool('train.py', CONFIG, '--work-dir', tmp_path / 'a', *short(data_root, max_iters=2))
    )
    options = short(data_root, max_iters=3, load_from=tmp_path / 'a/iter_2.pth')
    arguments = ['train.py', CONFIG, '--work-dir', tmp_path / 'b', '--resume', *options]
    assert 'train 1/3' in checked(run_tool(*arguments))
    arguments[-len(options) :] = short(data_root, max_iters=4, load_from=tmp_path / 'a/iter_2.pth')
    resumed = checked(run_tool(*arguments))
    assert 'train 4/4' in resumed and 'train 3/4' not in resumed


@pytest.mark.slow
def test_own_checkpoint_config_tests_itself(tmp_path, data_root, run_tool):
    """The config that a run leaves in its work folder works by itself, from another folder."""
    options = short(data_root, max_iters=1, **{'train_cfg.val_interval': 1})
    checked(run_tool('train.py', CONFIG, '--work-dir', tmp_path / 'run', *options))
    saved = tmp_path / 'run' / Path(CONFIG).name
    out = checked(run_tool('test.py', saved, tmp_path / 'run/iter_1.pth', cwd=tmp_path))
    assert 'mIoU' in out


@pytest.mark.provider
def test_two_processes_on_a_cpu(tmp_path, data_root):
    command = [
        *('bash', 'tools/dist_train.sh', CONFIG, '2', '--work-dir', str(tmp_path / 'run')),
        *map(str, short(data_root, max_iters=2)),
    ]
    env = {
        **os.environ,
        'PYTHON': sys.executable,
        'PORT': '29517',
        'OMP_NUM_THREADS': '1',
    }
    out = checked(subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True))
    assert 'train 2/2' in out and out.count('train 2/2') == 1
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert 'GPU number: 2' in log, 'not two processes'
    env['PORT'] = '29518'
    command = [
        *('bash', 'tools/dist_test.sh', CONFIG, str(tmp_path / 'run/iter_2.pth'), '2'),
        *('--work-dir', str(tmp_path / 'test'), *map(str, short(data_root))),
    ]
    out = checked(subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True))
    assert out.count('  mIoU ') == 1


@pytest.mark.slow
@pytest.mark.shared_data
def test_camvid_photographs(tmp_path, shared_data, run_tool):
    options = short(shared_data / 'camvid', max_iters=2)
    out = checked(run_tool('train.py', CAMVID, '--work-dir', tmp_path / 'run', *options))
    assert 'bicyclist' in out
    photograph = shared_data / 'camvid/images/test/0001TP_008550.jpg'
    checked(
        run_tool(
            *('predict.py', CAMVID, tmp_path / 'run/iter_2.pth', photograph),
            *('--out-dir', tmp_path / 'out'),
        )
    )
    assert np.asarray(Image.open(tmp_path / 'out/0001TP_008550_classes.png')).max() < 11


def test_wheel_works_outside_the_checkout(tmp_path, data_root):
    """Build the wheel, install it beside this environment's packages, and train from there."""
    source = tmp_path / 'source'
    ignored = shutil.ignore_patterns('.git', '.venv*', 'work_dirs', 'data', '*.egg-info', 'build')
    shutil.copytree(ROOT, source, ignore=ignored)
    build = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '-q']
    subprocess.run([*build, '-w', tmp_path, source], check=True, capture_output=True)
    shutil.rmtree(source)
    wheel = next(tmp_path.glob('*.whl'))
    target = tmp_path / 'site'
    install = [sys.executable, '-m', 'pip', 'install', '--no-deps', '-q', '--target', target]
    subprocess.run([*install, wheel], check=True, capture_output=True)
    env = {**os.environ, 'PYTHONPATH': str(target), 'OMP_NUM_THREADS': '1'}
    where = [sys.executable, '-c', 'import mmseg_custom; print(mmseg_custom.__file__)']
    located = subprocess.run(where, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert located.stdout.startswith(str(target)), 'the checkout was imported, not the wheel'
    command = [
        *(sys.executable, '-m', 'mmseg_custom.tools.train'),
        *('quickstart/segformer_mit-b0_quickstart.py', '--work-dir', tmp_path / 'run'),
        *short(data_root, max_iters=2),
    ]
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert 'train 2/2' in checked(result)
    assert (tmp_path / 'run/iter_2.pth').is_file()
