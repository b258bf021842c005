"""Inspect the samples of data sets on all cores."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool

from mmengine.dataset import BaseDataset

from mmseg_custom.datasets.inspection.samples import Rules, SampleFacts, inspect_sample
from mmseg_custom.parallel import process_pool, usable_cores

CHUNK = 16
FEW_SAMPLES = 64  # a pool of processes costs more than it gains


def rules_of(dataset: BaseDataset, pipeline: Sequence[dict]) -> Rules:
    """What a data set and the pipeline of its config expect of a sample."""
    loader = next((t for t in pipeline if str(t['type']).endswith('LoadImageFromFile')), None)
    return Rules(
        num_classes=len(dataset.metainfo['classes']),
        ignore_orientation='ignore_orientation' in (loader or {}).get('color_type', 'color'),
        eight_bit=loader is not None or not pipeline,
        has_nodata=dataset.metainfo.get('nodata') is not None,
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
    with process_pool(workers) as pool:
        try:
            return _collect(_ordered(pool, chunks, rules, workers), found, advance)
        except BrokenProcessPool as error:
            place = dataset.get_data_info(min(len(found), len(dataset) - 1))['img_path']
            raise ValueError(
                f'a decoder crashed at or soon after {place}; run again with --workers 0 to see '
                'where, and remove that file'
            ) from error


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
