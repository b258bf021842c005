"""Runs by their rows and processes: what is said of them, and who gets the device."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import pytest
import torch
from run_rows import add
from small_templates import small, write_blocks

from mmseg_custom.engine import run_log
from mmseg_custom.templates import records, worker
from mmseg_custom.templates.datasets import Datasets
from mmseg_custom.templates.device_locks import VARIABLE, lock_file, open_lock, try_to_lock
from mmseg_custom.templates.failures import explain
from mmseg_custom.templates.processes import identity, is_alive, pid_of
from mmseg_custom.templates.records import FAILED, QUEUED, TRAINED, TRAINING, Records
from mmseg_custom.templates.registry import SCHEMA_VERSION, Registry
from mmseg_custom.templates.runs import Runs

# At most, on a busy machine.
SECONDS = 120


@pytest.fixture
def process():
    """Start processes that do nothing; they are ended with the test."""
    begun = []

    def begin() -> str:
        begun.append(subprocess.Popen(['sleep', '300']))
        return identity(begun[-1].pid)

    yield begin
    for one in begun:
        one.kill()
        one.wait()


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(tmp_path / 'root')


def kill(process: str) -> None:
    os.kill(pid_of(process), signal.SIGKILL)
    until(lambda: not is_alive(process))


def start(runs: Runs, run_id: str) -> None:
    """Start the worker of a run as a queue does."""
    run = runs.get(run_id)
    with runs.records.registry.transaction() as connection:
        runs._start(run, connection, lock_file(run.device), resume=False)


def until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < ends, 'it did not happen'
        time.sleep(0.01)


def test_a_process_is_itself_only(process):
    one = process()
    number, start, rest = one.split(' ', 2)
    assert is_alive(one) and int(number) != os.getpid()
    assert not is_alive(f'{number} {int(start) - 1} {rest}'), 'an earlier one of this number'
    assert not is_alive(None)
    kill(one)
    # Nobody has waited for it yet: it is in the table of processes still.
    assert identity(pid_of(one)) is None


def test_names_of_files_are_those_of_the_training():
    assert (records.RUN_LOG, records.SUMMARY) == (run_log.RUN_LOG, run_log.SUMMARY)


def test_the_registry_is_made_once_by_many(tmp_path):
    made = []
    threads = [threading.Thread(target=lambda: made.append(Records(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8 and made[0].list() == []


def test_a_transaction_is_all_or_nothing_and_alone(tmp_path):
    registry = Registry(tmp_path)
    insert = "INSERT INTO datasets VALUES (?, 'folder', 0)"
    with pytest.raises(KeyError), registry.transaction() as connection:
        connection.execute(insert, ('a',))
        raise KeyError
    assert registry.rows('SELECT * FROM datasets') == []
    others = []
    with registry.transaction() as connection:
        thread = threading.Thread(target=lambda: others.append(registry.change(insert, ('b',))))
        thread.start()
        connection.execute(insert, ('a',))
        assert Registry(tmp_path).rows('SELECT * FROM datasets') == []
    thread.join()
    assert [row['name'] for row in registry.rows('SELECT name FROM datasets')] == ['a', 'b']


def test_a_registry_that_cannot_be_read_is_named(tmp_path):
    path = Registry(tmp_path / 'newer').path
    with sqlite3.connect(path) as connection:
        connection.execute(f'PRAGMA user_version={SCHEMA_VERSION + 1}')
    with pytest.raises(ValueError, match='has the format 2, this package reads up to 1'):
        Registry(tmp_path / 'newer')
    path = tmp_path / 'other' / path.name
    path.parent.mkdir()
    path.write_text('no database at all, but long enough to be looked at' * 30)
    with pytest.raises(ValueError, match='cannot be read as a registry'):
        Registry(path.parent)


def test_a_run_that_trains_has_percent_and_time_left(runs, process):
    run = add(runs, TRAINING, process(), process(), steps=[5, 10])
    with open(runs.get(run).training_log, 'a') as log:
        log.write('{"mode": "train", "st')  # being written
    status = runs.status(run)
    assert (status.status, status.percent, status.seconds_left) == (TRAINING, 25.0, 15.0)
    assert str(status) == 'MODEL-TRAINING  25 %  0:15 min left'


@pytest.mark.parametrize(
    ('status', 'expected'),
    [(QUEUED, 'was killed before the training began'), (TRAINING, 'was killed, or the machine')],
)
def test_a_run_whose_processes_are_gone_has_failed(runs, process, status, expected):
    one = process()
    run = add(runs, status, one, steps=[10])
    assert runs.status(run).status == status
    kill(one)
    found = runs.status(run)
    assert (found.status, found.percent) == (FAILED, 25.0)
    assert f'process {pid_of(one)} {expected}' in found.reason
    assert runs.get(run).ended is not None


def test_a_training_outlives_its_worker(runs, process):
    worker_process, trainer = process(), process()
    run = add(runs, TRAINING, worker_process, trainer)
    kill(worker_process)
    assert runs.status(run).status == TRAINING
    with pytest.raises(ValueError, match='run-1 is under way'):
        runs.resume(run)
    # What the worker would have passed on.
    runs.stop(run)
    until(lambda: not is_alive(trainer))
    assert runs.status(run).status == FAILED
    done = add(runs, TRAINING, worker_process, trainer)
    (runs.get(done).training / records.SUMMARY).write_text('{}')
    assert runs.status(done).status == TRAINED


def test_who_waits_for_whom(runs, process):
    add(runs, TRAINING, process(), process())
    second = add(runs, QUEUED, process())
    third = add(runs, QUEUED, process())
    elsewhere = add(runs, QUEUED, process(), device='cuda:0')
    assert runs.status(second).reason == 'waits for run-1, which trains on cpu'
    assert runs.status(elsewhere).reason == 'starting'
    kill(runs.get('run-1').worker)
    kill(runs.get('run-1').trainer)
    assert runs.status(second).reason == 'starting'
    assert runs.status(third).reason == 'waits for run-2, which waits on cpu'
    assert runs.stop(third).reason == 'stops before it begins'


def test_a_worker_waits_for_its_turn_and_looks_at_the_data(runs, process, tmp_path):
    datasets = Datasets(tmp_path / 'root')
    version = datasets.version(str(write_blocks(tmp_path / 'blocks')))
    first = add(runs, TRAINING, process(), None)
    second = add(runs, QUEUED, dataset='blocks', version=version.id)
    third = add(runs, QUEUED, dataset='blocks', version=version.id)
    for run_id in (second, third):
        start(runs, run_id)
    runs.stop(third)
    assert runs.wait(third, SECONDS).reason == 'stopped by user before it began'
    assert runs.status(second).reason == f'waits for {first}, which trains on cpu'
    (version.folder / 'dataset.yaml').unlink()
    kill(runs.get(first).worker)
    status = runs.wait(second, SECONDS)
    assert status.status == FAILED and 'damaged: dataset.yaml is missing' in status.reason
    assert 'ValueError: version' in runs.get(second).log.read_text()


def test_a_worker_waits_for_a_training_of_another_registry(runs, process):
    """Which has the device's file open, as a killed training's processes have."""
    run = add(runs, QUEUED)
    with open_lock(lock_file('cpu')) as file:
        assert try_to_lock(file, 'run-9 of the registry /else\nwhere')
        start(runs, run)
        reason = 'waits for run-9 of the registry /elsewhere, which has cpu'
        until(lambda: runs.status(run).reason == reason)
        assert runs.status(run).status == QUEUED
    # Its turn: it looks at the data, which are not there.
    status = runs.wait(run, SECONDS)
    assert status.status == FAILED and 'is missing' in status.reason


def test_the_file_of_a_device_is_for_all_users(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    path = lock_file('cpu')
    assert path == tmp_path / 'mmseg_custom_locks/cpu.lock' == lock_file('cpu')
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o7777) == (0o666, 0o1777)
    path.unlink()
    path.symlink_to(tmp_path / 'precious')
    (tmp_path / 'precious').touch()
    with pytest.raises(PermissionError, match=f'cannot lock cpu with {path}.*{VARIABLE}'):
        lock_file('cpu')


def test_a_run_without_a_lock_is_not_queued(runs, tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path / 'file'))
    params = small(dataset_id=str(write_blocks(tmp_path / 'blocks')), device='cpu')
    with pytest.raises(PermissionError, match=f'cannot lock cpu with .*{VARIABLE}'):
        runs.queue(params)
    assert runs.list() == []


@pytest.mark.gpu
def test_a_gpu_has_one_file_whatever_its_number():
    assert lock_file('cuda:0').name.startswith('gpu-')
    code = (
        'from mmseg_custom.templates.device_locks import lock_file; print(lock_file("cuda:0").name)'
    )
    last = torch.cuda.device_count() - 1
    environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': str(last)}
    done = subprocess.run([sys.executable, '-c', code], env=environment, stdout=subprocess.PIPE)
    assert done.stdout.decode().strip() == lock_file(f'cuda:{last}').name


def test_a_run_that_was_resumed_is_not_ended_by_its_old_worker(runs, process):
    run = runs.get(add(runs, QUEUED, process()))
    runs.records.registry.change('UPDATE runs SET worker=?', (process(),))
    assert not runs.records.end(run, FAILED, 'too late')
    assert runs.get(run.id).status == QUEUED


@pytest.mark.parametrize(
    ('status', 'text', 'asked', 'expected'),
    [
        (75, '', True, 'stopped by user'),
        (75, '', False, 'stopped by a signal from elsewhere, after a checkpoint'),
        (-9, 'x\n', False, 'killed by SIGKILL: by kill -9, or because the main memory was full'),
        (-11, '', False, 'killed by SIGSEGV'),
        (2, 'a\nerror: the memory of the GPU is full\nb\n', False, 'the memory of the GPU is full'),
        (1, 'Traceback\n  File x\nKeyError: 7\n\n', False, 'KeyError: 7'),
        (1, '', False, 'it ended without a word'),
    ],
)
def test_why_a_training_ended(tmp_path, status, text, asked, expected):
    log = tmp_path / 'log.txt'
    log.write_text(text)
    assert explain(status, log, asked) == expected


def test_logs_are_followed_to_the_end(runs, process):
    one = process()
    run = runs.get(add(runs, TRAINING, one))
    run.log.write_text('first\nsec')
    assert [*runs.logs(run.id)] == ['first', 'sec']
    lines = runs.logs(run.id, follow=True)
    assert next(lines) == 'first'
    with open(run.log, 'a') as log:
        log.write('ond\nlast')
    assert next(lines) == 'second'
    kill(one)
    assert [*lines] == ['last']


def test_a_run_that_cannot_start_leaves_nothing(runs, tmp_path, monkeypatch):
    params = small(dataset_id=str(write_blocks(tmp_path / 'blocks')))
    monkeypatch.setattr(sys, 'executable', str(tmp_path / 'no_python'))
    with pytest.raises(FileNotFoundError, match='no_python'):
        runs.queue(params)
    assert runs.list() == [] and not any((tmp_path / 'root/runs').iterdir())


def test_an_unknown_run_is_named(runs):
    add(runs, TRAINED)
    for wrong, hint in (('run-12', 'did you mean run-1'), ('x', 'known: run-1')):
        with pytest.raises(ValueError, match=f"no run '{wrong}' in .*; {hint}"):
            runs.status(wrong)


def test_the_worker_is_light():
    """Many may wait: none has torch in its memory."""
    code = f'import sys, {worker.__name__}; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0
