"""A process that dies or hangs is named by those that wait for it."""

import os
import socket
import time
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from torch.distributed import DistStoreError, HashStore, TCPStore
from training_runs import configured, run

from mmseg_custom.engine.process_watch import ProcessWatch, is_collective_error
from mmseg_custom.registry import HOOKS


@pytest.fixture
def watches():
    """Three ranks on one store, and what each reported."""
    store, reported = HashStore(), []
    options = dict(world_size=3, patience=0.4, interval=0.2)
    made = [
        ProcessWatch(store, rank, report=lambda line, r=rank: reported.append((r, line)), **options)
        for rank in range(3)
    ]
    for watch in made:
        watch.mark('in iteration 7')
        watch.start()
    yield made, reported
    for watch in made:
        watch.stop()


def wait_for(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_who_is_behind_is_reported_once_by_the_first_other(watches):
    made, reported = watches
    for watch in (made[0], made[2]):
        watch.mark('in iteration 8')
    wait_for(lambda: reported)
    time.sleep(1)
    assert [rank for rank, _ in reported] == [0]
    assert 'rank 1 is behind, in iteration 7; its loader' in reported[0][1]


def test_who_is_gone_is_told_from_who_is_behind(watches):
    made, _ = watches
    wait_for(lambda: all(made[0]._read()[rank][0] > 0 for rank in (1, 2)))
    made[0].stop()
    made[1].mark('in iteration 8')
    line, reporter = made[1].missing()
    assert 'rank 0 does not answer, last seen in iteration 7, rank 2 is behind' in line
    assert reporter == 1


def test_all_at_the_same_place(watches):
    line, reporter = watches[0][2].missing()
    assert line.startswith('all ranks are in iteration 7; one computes without end')
    assert reporter == 0


def test_no_store():
    """As where the machine of rank 0 is gone."""
    store = TCPStore('127.0.0.1', 0, is_master=True)
    client = TCPStore('127.0.0.1', store.port, is_master=False)
    del store
    watch = ProcessWatch(client, 1, 2, patience=1, interval=0.01, report=print)
    line = watch.explain(RuntimeError('Connection closed by peer [127.0.0.1]:1\nmore'))
    assert line.startswith('rank 1 starting: the processes could not talk to each other (Connect')
    assert 'the store of the addresses, which torchrun or rank 0 keeps, does not answer' in line


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (DistStoreError('timed out'), True),
        (RuntimeError('[/gloo/transport/tcp/pair.cc:547] Connection closed by peer'), True),
        (RuntimeError('shape [2] is invalid for input of size 3'), False),
    ],
)
def test_collective_errors(error, expected):
    assert is_collective_error(error) is expected


@HOOKS.register_module()
class FailHook(Hook):
    """Let the second process die or hang between the iterations 2 and 3."""

    # Before ProcessesHook says that the iteration began.
    priority = 'HIGHEST'

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.rank == 1 and runner.iter == 2:
            if self.kind == 'dies':
                os._exit(9)
            time.sleep(60)


def in_one_of_two(rank: int, data: Path, folder: Path, port: int, kind: str) -> None:
    address = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2', **address)
    config = configured(
        data, 'env_cfg.dist_cfg.timeout=8', hooks=(dict(type='FailHook', kind=kind),)
    )
    try:
        run(config, folder / kind, launcher='pytorch')
    except ConnectionError as error:
        (folder / f'{kind}_{rank}.txt').write_text(str(error))


@pytest.mark.slow
@pytest.mark.parametrize(
    ('kind', 'expected'),
    [
        ('dies', 'rank 1 does not answer, last seen'),
        ('hangs', 'rank 1 is behind, after iteration 2'),
    ],
)
def test_a_process_that_fails_is_named(tmp_path, training_pictures, kind, expected):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    arguments = (training_pictures, tmp_path, port, kind)
    started = torch.multiprocessing.spawn(in_one_of_two, arguments, nprocs=2, join=False)
    started.processes[0].join()
    started.processes[1].kill()
    message = (tmp_path / f'{kind}_0.txt').read_text()
    assert message.startswith('rank 0 in iteration 3: ') and expected in message
