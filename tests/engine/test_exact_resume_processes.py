"""Two processes that are killed and resumed end as those that were not."""

import os
import socket

import pytest
import torch
from training_runs import assert_equal, configured, killed, outcome, run


def in_one_of_two(rank: int, data, folder, port: int) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE='2',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    run(configured(data), folder / 'whole', launcher='pytorch')
    hooks = killed(7)
    assert run(configured(data, hooks=hooks), folder / 'cut', launcher='pytorch') is None
    run(configured(data, workers=1), folder / 'cut', resume=True, launcher='pytorch')
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes(tmp_path, monkeypatch, training_pictures):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(in_one_of_two, (training_pictures, tmp_path, port), nprocs=2)
    whole = outcome(tmp_path / 'whole')
    assert_equal(outcome(tmp_path / 'cut'), whole)
    saved = torch.load(tmp_path / 'cut/iter_12.pth', weights_only=True)['run_state']
    assert (saved['world_size'], len(saved['generators'])) == (2, 2)
    assert saved['position']['sample'] == 48
