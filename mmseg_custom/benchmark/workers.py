"""Contenders in processes of their own, for timing on a CPU.

In one process they would share what the other one's allocations leave behind: the faster ones are
slowed down by memory that was returned to the system, or sped up by memory that was not. Ours also
keeps freed memory, as our tools do (:mod:`mmseg_custom.host_memory`); the others run as they come.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection

import torch

from mmseg_custom.benchmark.named_models import model_config
from mmseg_custom.benchmark.networks import build_networks
from mmseg_custom.benchmark.tasks import make_batch, make_contender
from mmseg_custom.compat import ignore_upstream_warnings
from mmseg_custom.host_memory import keep_freed_memory


@contextmanager
def remote_steps(
    orders: dict[str, dict],
) -> Iterator[dict[str, Callable[[], None]]]:
    """Start one process per contender and hand out functions that let it take one step.

    Args:
        orders: arguments of :func:`serve`, without the connection, by contender.

    Raises:
        RuntimeError: a process failed; its traceback is on stderr.
    """
    context = multiprocessing.get_context('spawn')
    with ExitStack() as stack:
        steps = {}
        for name, order in orders.items():
            here, there = context.Pipe()
            process = context.Process(target=serve, args=(there,), kwargs=order, daemon=True)
            process.start()
            stack.callback(process.join)
            stack.callback(here.close)
            there.close()
            steps[name] = _caller(name, here)
            steps[name]()  # built, and one step taken, before the next one starts
        yield steps


def _caller(name: str, connection: Connection) -> Callable[[], None]:
    def step() -> None:
        try:
            connection.send(None)
            connection.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError(f'the process that runs {name} failed; see above') from error

    return step


def serve(
    connection: Connection,
    *,
    task: str,
    model: str,
    contender: str,
    size: tuple[int, int],
    batch: int,
    dtype: torch.dtype,
    compiled: bool,
    keep_memory: bool,
    threads: int,
) -> None:
    """Build one contender and take a step for every message, until the other end is closed.

    Args:
        connection: to the process that measures.
        task: see :mod:`mmseg_custom.benchmark.tasks`.
        model: its name.
        contender: ``ours`` or a peer.
        size: height and width of the images.
        batch: number of images.
        dtype: of autocast.
        compiled: whether to use ``torch.compile``.
        keep_memory: whether freed memory stays in the process.
        threads: of PyTorch.
    """
    ignore_upstream_warnings()
    if keep_memory:
        keep_freed_memory()
    torch.set_num_threads(threads)
    device = torch.device('cpu')
    config = model_config(model, size, slide=task == 'slide')
    peers = [] if contender == 'ours' else [contender]
    network = build_networks(model, config, peers, device)[-1]
    step = make_contender(task, network, make_batch(batch, size, device), dtype).step
    if compiled:
        network.compile()
    try:
        while True:
            connection.recv()
            step()
            connection.send(None)
    except (EOFError, BrokenPipeError):
        return
