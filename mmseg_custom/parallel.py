"""Work in several processes: a pool of them, how many, and a bar that shows how far it is."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import cv2


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


@contextmanager
def process_pool(
    workers: int, start: Callable | None = None, arguments: Sequence = ()
) -> Iterator[ProcessPoolExecutor]:
    """Processes with one OpenCV thread each; forked on Linux, which need not import again.

    Args:
        workers: how many.
        start: called in each first.
        arguments: of ``start``.
    """
    context = multiprocessing.get_context('fork' if sys.platform == 'linux' else 'spawn')
    threads = cv2.getNumThreads()
    # Before the fork: a child that sets it waits forever for threads that only the parent has.
    cv2.setNumThreads(1)
    try:
        with ProcessPoolExecutor(workers, context, _start, (start, arguments)) as pool:
            yield pool
    finally:
        cv2.setNumThreads(threads)


def _start(start: Callable | None, arguments: Sequence) -> None:
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)
    if start is not None:
        start(*arguments)


@contextmanager
def progress_bar(total: int, text: str = '') -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, else nothing.

    Args:
        total: how much there is to do.
        text: what is done.

    Yields:
        What takes how much was done since the last call.
    """
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(text, total=total)
        yield lambda done: progress.advance(task, done)
