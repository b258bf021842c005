"""Two real processes of one machine, as torchrun starts them."""

import os
import socket
from collections.abc import Callable
from unittest import mock

import torch


def free_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def run_in_two(function: Callable, *arguments) -> None:
    """Call ``function(rank, *arguments)`` in two processes with torchrun's environment, no GPU.

    The function starts the process group; it is destroyed here.

    Raises:
        torch.multiprocessing.ProcessRaisedException: one of them raised.
    """
    with mock.patch.dict(os.environ, CUDA_VISIBLE_DEVICES='-1'):
        torch.multiprocessing.spawn(_one_of_two, (free_port(), function, arguments), nprocs=2)


def _one_of_two(rank: int, port: int, function: Callable, arguments: tuple) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE='2',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    torch.set_num_threads(1)
    function(rank, *arguments)
    torch.distributed.destroy_process_group()
