"""Whole lives of runs: real processes that train, are killed, stopped, continued, and predict."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_templates import CLASSES, small, write_blocks
from tool_modules import load_tool

from mmseg_custom.engine import run_comparison
from mmseg_custom.engine.checkpoint_files import saved_checkpoints
from mmseg_custom.templates.client import App
from mmseg_custom.templates.processes import is_alive, pid_of
from mmseg_custom.templates.records import FAILED, QUEUED, TRAINED, TRAINING, Run
from mmseg_custom.templates.runs import Runs

pytestmark = pytest.mark.slow
SECONDS = 240
# Long enough to be killed in.
LONG = dict(num_epochs=20, device='cpu')
SHORT = dict(num_epochs=2, device='cpu')


def make_app(folder: Path) -> App:
    """An application with the data set ``blocks``."""
    app = App('test', folder / 'root')
    app.datasets.create('blocks', write_blocks(folder / 'blocks'))
    return app


@pytest.fixture
def app(tmp_path) -> App:
    """An application; what it leaves running is ended."""
    app = make_app(tmp_path)
    yield app
    for run in app.runs.list():
        for process in (run.worker, run.trainer):
            if is_alive(process):
                os.kill(pid_of(process), signal.SIGKILL)


def until(holds: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Return when something holds."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, 'it did not happen'
        time.sleep(0.05)


def started(runs: Runs, **fields) -> Run:
    """A run that trains and has saved a checkpoint."""
    run = runs.get(runs.queue(small(dataset_id='blocks', **{**LONG, **fields})))
    until(lambda: saved_checkpoints(run.training) or runs.status(run.id).is_final)
    run = runs.get(run.id)
    assert run.status == TRAINING, run.log.read_text()[-2000:]
    return run


def finished(runs: Runs, run_id: str) -> Run:
    """The run when it is trained."""
    status = runs.wait(run_id, SECONDS)
    run = runs.get(run_id)
    assert status.status == TRAINED, run.log.read_text()[-2000:]
    return run


@pytest.fixture(scope='module')
def whole(tmp_path_factory) -> Run:
    """A long run that nothing happened to."""
    runs = make_app(tmp_path_factory.mktemp('whole')).runs
    return finished(runs, runs.queue(small(dataset_id='blocks', **LONG)))


def outcome(run: Run) -> tuple:
    """Everything of the last checkpoint that does not tell where and when it was written."""
    return run_comparison.outcome(run.training, saved_checkpoints(run.training)[0].name)


def test_train_watch_predict_evaluate_hand_on(app, tmp_path, capsys):
    seen = []
    model = app.create_model('segmenter', template='MMSegmentation_SegFormer')
    values = small(dataset_id='blocks', num_epochs=8, device='cpu').content()
    fields = {key: value for key, value in values.pop('train_params').items() if key != 'template'}
    model.update_params(**values, **fields)
    assert model.train() == 'run-1'
    assert model.wait(SECONDS, lambda line: seen.append(line), poll=0.05).status == TRAINED
    text = ' '.join(seen)
    assert text.index(TRAINING) < text.index('min left') < text.index(TRAINED)
    assert [r['step'] for r in model.history() if r['mode'] == 'train'] == [*range(1, 17)]
    picture = model.pictures('val', 1)[0]
    (prediction,) = model.predict(picture, tmp_path / 'out')
    assert prediction.classes == CLASSES and prediction.labels.shape == (32, 32)
    assert sum(region.area for region in prediction.regions) == 32 * 32
    names = {path.name for path in (tmp_path / 'out').iterdir()}
    assert names == {f'{picture.stem}_overlay.png', f'{picture.stem}_regions.json'}
    words = ['predict', 'run-1', str(picture), '--root', str(tmp_path / 'root')]
    load_tool('segmenter.py').main([*words, '--json'])
    (described,) = json.loads(capsys.readouterr().out)
    assert [(r['concept'], r['value'], r['area_px'], r['box']) for r in described['regions']] == [
        (r.name, round(r.value, 6), r.area, list(r.box)) for r in prediction.regions
    ]
    load_tool('segmenter.py').main(words)
    table = capsys.readouterr().out
    assert all(f'{region.value:.3f} | {region.area}' in table for region in prediction.regions[:10])
    assert (tmp_path / 'root/runs/run-1/predictions' / f'{picture.stem}_overlay.png').is_file()
    best = max(r['mIoU'] for r in model.history() if r['mode'] == 'val')
    assert model.evaluate()['mIoU'] == pytest.approx(best, abs=1e-4)
    weights = torch.load(model.export(tmp_path / 'exports'), weights_only=True)
    assert [*weights] == ['state_dict', 'meta']
    assert tuple(weights['meta']['dataset_meta']['classes']) == CLASSES
    again = app.model('segmenter')
    assert again.run_id == 'run-1' and again.get_params() == {
        **model.get_params(),
        'dataset_version_id': app.datasets.versions('blocks')[0].id,
    }


@pytest.mark.parametrize('victim', ['trainer', 'worker'])
def test_a_killed_run_has_failed_and_continues_to_the_same_end(app, whole, victim):
    runs = app.runs
    run = started(runs)
    os.kill(pid_of(getattr(run, victim)), signal.SIGKILL)
    status = runs.wait(run.id, SECONDS)
    assert status.status == FAILED and 0 < status.percent < 100
    expected = 'killed by SIGKILL' if victim == 'trainer' else f'{pid_of(run.worker)} was killed'
    assert expected in status.reason
    until(lambda: not is_alive(run.trainer))
    saved = saved_checkpoints(run.training)[0].name
    runs.resume(run.id)
    resumed = finished(runs, run.id)
    assert saved in resumed.log.read_text().split('continuing after iteration')[-1]
    assert run_comparison.differences(outcome(resumed), outcome(whole)) == []


def test_a_stopped_run_saves_and_continues(app):
    runs = app.runs
    run = started(runs)
    runs.stop(run.id)
    status = runs.wait(run.id, SECONDS)
    assert (status.status, status.reason) == (FAILED, 'stopped by user')
    text = run.log.read_text()
    assert 'stopped by SIGTERM after iteration' in text and 'continue with --resume' in text
    with pytest.raises(ValueError, match='run-1 is not under way: MODEL-TRAINING-FAILED'):
        runs.stop(run.id)
    runs.resume(run.id)
    with pytest.raises(ValueError, match='run-1 is under way'):
        runs.resume(run.id)
    finished(runs, run.id)
    with pytest.raises(ValueError, match='run-1 is trained: begin a new run'):
        runs.resume(run.id)


def test_the_second_run_on_a_device_waits(app):
    runs = app.runs
    # Killed in the end: it may be as long as a busy machine needs for what follows.
    first = runs.queue(small(dataset_id='blocks', **{**SHORT, 'num_epochs': 200}))
    second = runs.queue(small(dataset_id='blocks', **SHORT))
    third = runs.queue(small(dataset_id='blocks', **SHORT))
    until(lambda: runs.status(first).status != QUEUED)
    assert runs.status(second).reason == f'waits for {first}, which trains on cpu'
    assert runs.status(third).status == QUEUED
    runs.stop(third)
    assert runs.wait(third, SECONDS).reason == 'stopped by user before it began'
    os.kill(pid_of(runs.get(first).trainer), signal.SIGKILL)
    finished(runs, second)
    assert runs.get(second).started > runs.get(first).ended


def test_two_registries_take_turns_on_a_device(app, tmp_path):
    """Also when the first one is killed without a word and resumed while the second trains."""
    runs, others = app.runs, make_app(tmp_path / 'other').runs
    first = started(runs, num_epochs=200)
    second = others.queue(small(dataset_id='blocks', **LONG))
    reason = f'waits for {first.id} of the registry {first.root}, which has cpu'
    until(lambda: others.status(second).reason == reason)
    for process in (first.worker, first.trainer):
        os.kill(pid_of(process), signal.SIGKILL)
    until(lambda: others.status(second).status == TRAINING)
    until(lambda: runs.status(first.id).status == FAILED)
    runs.resume(first.id)
    reason = f'waits for {second} of the registry {tmp_path / "other/root"}, which has cpu'
    until(lambda: runs.status(first.id).reason == reason)
    finished(others, second)
    until(lambda: 'continuing after iteration' in first.log.read_text())
    runs.stop(first.id)
    assert runs.wait(first.id, SECONDS).reason == 'stopped by user'


def test_an_error_of_the_training_is_the_reason(app, tmp_path):
    runs = app.runs
    run_id = runs.queue(small(dataset_id='blocks', **SHORT))
    config = runs.get(run_id).config
    config.write_text(config.read_text() + "model['backbone']['embed_dims'] = 'many'\n")
    status = runs.wait(run_id, SECONDS)
    assert status.status == FAILED and 'Error' in status.reason, status.reason


def test_the_dumped_config_trains_to_the_same_weights(app, tmp_path, run_tool):
    params = tmp_path / 'params.yaml'
    model = app.create_model('segmenter', template='MMSegmentation_SegFormer')
    model._params = small(dataset_id='blocks', **SHORT)
    model.get_params(save_to=params)
    root = tmp_path / 'root'
    dumped = run_tool('segmenter.py', 'train', params, '--dump-config', '--root', root)
    assert dumped.returncode == 0, dumped.stderr
    config = tmp_path / 'dumped.py'
    config.write_text(dumped.stdout)
    trained = run_tool('train.py', config, '--work-dir', tmp_path / 'by_hand')
    assert trained.returncode == 0, trained.stderr
    followed = run_tool('segmenter.py', 'train', params, '--follow', '--root', root)
    assert followed.returncode == 0 and TRAINED in followed.stdout.splitlines()[-1]
    run = app.runs.get('run-1')
    name = saved_checkpoints(run.training)[0].name
    by_hand = run_comparison.outcome(tmp_path / 'by_hand', name)
    assert run_comparison.differences(outcome(run), by_hand) == []


def test_a_run_survives_the_terminal(app, tmp_path):
    """The session in which it was queued ends with a hang-up for all of it."""
    params = tmp_path / 'params.yaml'
    model = app.create_model('segmenter', template='MMSegmentation_SegFormer')
    model.update_params(
        dataset_id='blocks', pretrained_weights=None, image_size=[32], num_epochs=1, device='cpu'
    )
    model.get_params(save_to=params)
    tool = Path(__file__).parents[2] / 'tools/segmenter.py'
    words = [sys.executable, tool, 'train', params, '--follow', '--root', tmp_path / 'root']
    process, terminal = os.forkpty()
    if process == 0:
        os.execv(sys.executable, [str(word) for word in words])
    until(lambda: app.runs.list() != [])
    run_id = app.runs.list()[0].id
    os.close(terminal)
    os.waitpid(process, 0)
    finished(app.runs, run_id)
