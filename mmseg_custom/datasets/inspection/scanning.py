"""Inspect the samples of data sets on all cores."""

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import cv2
from mmengine.dataset import BaseDataset

from mmseg_custom.cores import usable_cores
from mmseg_custom.datasets.inspection.samples import Rules, SampleFacts, inspect_sample

CHUNK = 16
FEW_SAMPLES = 64  # a pool of processes costs more than it gains


def rules_of(dataset: BaseDataset, pipeline: Sequence[dict]) -> Rules:
    """What a data set and the pipeline of its config expect of a sample."""
    loader = next((t for t in pipeline if str(t['type']).endswith('LoadImageFromFile')), None)
    return Rules(
        num_classes=len(dataset.metainfo['classes']),
        ignore_orientation='ignore_orientation' in (loader or {}).get('color_type', 'color'),
        eight_bit=loader is not None or not pipeline,
    )


def scan(
    dataset: BaseDataset,
    rules: Rules,
    workers: int | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> list[SampleFacts]:
    """Inspect all samples of a data set, in its order.

    Args:
        dataset: gives the samples.
        rules: see :func:`rules_of`.
        workers: processes; None takes one per core, 0 works in this process.
        advance: called with the number of samples that are done since the last call.

    Raises:
        ValueError: a decoder crashed.
    """
    workers = usable_cores() if workers is None else workers
    starts = range(0, len(dataset), CHUNK)
    chunks = (
        [dataset.get_data_info(i) for i in range(start, min(start + CHUNK, len(dataset)))]
        for start in starts
    )
    found: list[SampleFacts] = []
    if workers < 1 or len(dataset) < FEW_SAMPLES:
        results = (_inspect(chunk, rules) for chunk in chunks)
        return _collect(results, found, advance)
    with _pool(workers) as pool:
        try:
            return _collect(_ordered(pool, chunks, rules, workers), found, advance)
        except BrokenProcessPool as error:
            place = dataset.get_data_info(min(len(found), len(dataset) - 1))['img_path']
            raise ValueError(
                f'a decoder crashed at or soon after {place}; run again with --workers 0 to see '
                'where, and remove that file'
            ) from error


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes with one OpenCV thread each."""
    context = multiprocessing.get_context('fork' if sys.platform == 'linux' else 'spawn')
    threads = cv2.getNumThreads()
    # Before the fork: a child that sets it waits forever for threads that only the parent has.
    cv2.setNumThreads(1)
    try:
        with ProcessPoolExecutor(workers, context, initializer=_use_one_thread) as pool:
            yield pool
    finally:
        cv2.setNumThreads(threads)


def _use_one_thread() -> None:
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)


def _inspect(samples: list[dict], rules: Rules) -> list[SampleFacts]:
    return [inspect_sample(sample, rules) for sample in samples]


def _ordered(pool, chunks: Iterator, rules: Rules, workers: int) -> Iterator[list[SampleFacts]]:
    """Results in the order of the chunks, with few chunks waiting: `map` would list them all."""
    waiting = []
    for chunk in chunks:
        waiting.append(pool.submit(_inspect, chunk, rules))
        if len(waiting) > 4 * workers:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def _collect(results: Iterator, found: list, advance: Callable) -> list[SampleFacts]:
    for facts in results:
        found += facts
        advance(len(facts))
    return found


@contextmanager
def progress_bar(total: int, text: str) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, else nothing; yields what takes the samples that are done."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(text, total=total)
        yield lambda done: progress.advance(task, done)
