"""Contenders in processes of their own, for timing on a CPU.

In one process they would share what the other one's allocations leave behind: the faster ones are
slowed down by memory that was returned to the system, or sped up by memory that was not. Ours also
keeps freed memory, as our tools do (:mod:`mmseg_custom.host_memory`); the others run as they come.
"""

import multiprocessing
import os
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from mmseg_custom.benchmark.named_models import model_config
from mmseg_custom.benchmark.networks import build_networks
from mmseg_custom.benchmark.tasks import make_batch, make_contender
from mmseg_custom.compat import ignore_upstream_warnings
from mmseg_custom.host_memory import OPT_OUT, keep_freed_memory


@dataclass(frozen=True)
class WorkerState:
    """What a process says of itself.

    Attributes:
        keeps_memory: whether it keeps freed memory.
        resident_bytes: the most memory it had at one time, Python and its modules included.
    """

    keeps_memory: bool
    resident_bytes: int


@dataclass
class Worker:
    """A process that takes steps on demand.

    Attributes:
        name: of the contender.
        connection: to the process.
    """

    name: str
    connection: Connection

    def step(self) -> None:
        """Take one step; raises as :meth:`ask`."""
        self.ask('step')

    def state(self) -> WorkerState:
        """Ask for what the process says of itself; raises as :meth:`ask`."""
        return self.ask('state')

    def ask(self, what: str):
        """Send a message and return the answer.

        Raises:
            RuntimeError: the process failed; its traceback is on stderr.
        """
        try:
            self.connection.send(what)
            return self.connection.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError(f'the process that runs {self.name} failed; see above') from error


@contextmanager
def start_workers(
    orders: dict[str, dict], serve: Callable | None = None
) -> Iterator[dict[str, Worker]]:
    """Start one process per contender; each has taken a step before the next one starts.

    Args:
        orders: arguments of ``serve``, without the connection, by contender.
        serve: what runs in the process; :func:`serve_network` by default.

    Raises:
        RuntimeError: a process failed; its traceback is on stderr.
    """
    context = multiprocessing.get_context('spawn')
    with ExitStack() as stack:
        workers = {}
        for name, order in orders.items():
            here, there = context.Pipe()
            # No daemon: those may not have processes of their own, as a loader has.
            process = context.Process(target=serve or serve_network, args=(there,), kwargs=order)
            process.start()
            stack.callback(process.join)
            stack.callback(here.close)
            there.close()
            workers[name] = Worker(name, here)
            workers[name].step()
        yield workers


def serve_network(
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
    """Build one contender and answer messages until the other end is closed.

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
    # A GPU that is not used would switch the setting off.
    os.environ.update({'CUDA_VISIBLE_DEVICES': '', OPT_OUT: str(int(keep_memory))})
    kept = keep_freed_memory()
    torch.set_num_threads(threads)
    device = torch.device('cpu')
    config = model_config(model, size, slide=task == 'slide')
    peers = [] if contender == 'ours' else [contender]
    network = build_networks(model, config, peers, device)[-1]
    step = make_contender(task, network, make_batch(batch, size, device), dtype).step
    if compiled:
        network.compile()
    answer(connection, step, kept)


def answer(connection: Connection, step: Callable[[], object], keeps_memory: bool) -> None:
    """Take steps and say what the process needs, until the other end is closed.

    Args:
        connection: to the process that measures.
        step: what is measured.
        keeps_memory: whether this process keeps freed memory.
    """
    try:
        while True:
            if connection.recv() == 'step':
                step()
                connection.send(None)
            else:
                connection.send(WorkerState(keeps_memory, peak_resident_bytes()))
    except (EOFError, BrokenPipeError):
        return


def peak_resident_bytes(process: int | str = 'self') -> int:
    """The most memory that a running process had at one time, everything included.

    Args:
        process: its number; where there is no ``/proc`` the largest child stands for it.

    Returns:
        Bytes; 0 when the process has just ended.
    """
    if Path('/proc/self').is_dir():
        # Not getrusage: its maximum is inherited from the process that started this one.
        status = Path(f'/proc/{process}/status').read_text()
        found = re.search(r'VmHWM:\s+(\d+) kB', status)
        return int(found[1]) * 1024 if found else 0
    who = resource.RUSAGE_SELF if process == 'self' else resource.RUSAGE_CHILDREN
    # macOS counts in bytes.
    return resource.getrusage(who).ru_maxrss
