"""The training data path: mmseg's stock pipeline against ours, on one core and in a loader.

Each side reads the same pictures with the same seeds in a process of its own, one after the other
in every round. Times on one core are CPU seconds, since files come from the system's cache.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from mmseg_custom.benchmark.data_cases import CASES, Case, chosen_cases
from mmseg_custom.benchmark.data_worker import DECODING, NUM_WORKERS, serve
from mmseg_custom.benchmark.run import Comparison, Measurement, Options, Result
from mmseg_custom.benchmark.timing import Timing
from mmseg_custom.benchmark.workers import start_workers

CACHED = 'ours, cache'
SIDES = ('ours', CACHED, 'mmseg')


def run_data(options: Options, report) -> list[Result]:
    """Measure decoding, what follows, both, and a loader of each case.

    Args:
        options: what to measure; ``models`` names cases, ``data_root`` a folder of real pictures.
        report: called with lines that tell how far it is and each step's share.

    Returns:
        Results in seconds per picture, those of ``data loader`` in seconds per batch.

    Raises:
        ValueError: another peer, device or dtype is asked for, or a case is unknown.
        FileNotFoundError: ``data_root`` has none of the cases' data sets.
    """
    if options.against != ('mmseg',) or options.device != 'cpu' or options.dtype != 'fp32':
        raise ValueError('--task data: the loader runs on CPUs, against mmseg; leave out the rest')
    keeps = {'none': (), 'ours': SIDES[:2], 'both': SIDES}[options.keep_memory]
    results = []
    with ExitStack() as stack:
        cases = _folders(options, stack, report)
        roots = {name: str(root) for name, (_, root) in cases.items()}
        orders = {
            side: dict(
                roots=roots,
                stock=side == 'mmseg',
                cache=stack.enter_context(tempfile.TemporaryDirectory())
                if side == CACHED
                else None,
                keep_memory=side in keeps,
            )
            for side in SIDES
        }
        workers = stack.enter_context(start_workers(orders, serve))
        for name, (case, root) in cases.items():
            size = f'{case.mean_bytes(root) / 1000:.0f} kB per picture'
            report(f'{name}: {size}, {options.rounds} rounds')
            results += _run_case(name, case, workers, options.rounds, report)
    return results


def _folders(options: Options, stack: ExitStack, report) -> dict[str, tuple[Case, Path]]:
    cases = chosen_cases(options.models or tuple(CASES))
    if options.data_root is not None:
        found = {name: (case, case.find(Path(options.data_root))) for name, case in cases.items()}
        found = {name: pair for name, pair in found.items() if pair[1] is not None}
        if not found:
            wanted = ', '.join(case.data_prefix['img_path'] for case in cases.values())
            raise FileNotFoundError(f'--data-root {options.data_root} has none of {wanted}')
        return found
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    for name, case in cases.items():
        report(f'{name}: writing {case.num_pictures} pictures of {case.size[1]}x{case.size[0]}')
        case.generate(folder / name)
    return {name: (case, folder / name) for name, case in cases.items()}


def _run_case(name: str, case: Case, workers, num_rounds: int, report) -> list[Result]:
    steps, loads = ({side: [] for side in SIDES} for _ in range(2))
    for index in range(num_rounds + 1):
        for side, worker in workers.items():
            step, load = worker.ask(('read', name)), worker.ask(('load', name))
            # The first round warms up.
            if index:
                steps[side].append(step)
                loads[side].append(load)
    for side in reversed(SIDES):
        report(f'{name}: {side}, ms per picture: {described_steps(steps[side])}')
    speeds = ', '.join(f'{side} {1 / Timing(loads).median(side):.1f}' for side in SIDES)
    report(f'{name}: iterations/s of a loader with {NUM_WORKERS} workers: {speeds}')
    return [
        _result(f'data {row}', name, case, timing)
        for row, timing in {**rows(steps), **_both('loader', loads)}.items()
    ]


def rows(steps: dict[str, list[dict[str, float]]]) -> dict[str, Timing]:
    """Add the steps up to the lines of the table.

    Args:
        steps: seconds of each step, one dictionary per round, by side.
    """

    def sums(counts) -> dict[str, list[float]]:
        return {
            side: [sum(s for step, s in found.items() if counts(step)) for found in rounds]
            for side, rounds in steps.items()
        }

    def without_cache(counts) -> Timing:
        return Timing({side: s for side, s in sums(counts).items() if side != CACHED})

    return {
        'decoding': without_cache(lambda step: step in DECODING),
        'after decoding': without_cache(lambda step: step not in DECODING),
        **_both('end to end', sums(lambda step: True)),
    }


def _both(row: str, seconds: dict[str, list[float]]) -> dict[str, Timing]:
    """Two lines of the table: ours without a cache and with it."""
    return {
        row: Timing({side: seconds[side] for side in ('ours', 'mmseg')}),
        f'{row}, cache': Timing({'ours': seconds[CACHED], 'mmseg': seconds['mmseg']}),
    }


def described_steps(rounds: list[dict[str, float]]) -> str:
    """List median milliseconds and share of each step."""
    timing = Timing({step: [found[step] for found in rounds] for step in rounds[0]})
    medians = {step: timing.median(step) for step in timing.seconds}
    total = sum(medians.values())
    listed = (f'{step} {1000 * s:.2f} ({s / total:.0%})' for step, s in medians.items())
    return f'{", ".join(listed)}; together {1000 * total:.2f}'


def _result(task: str, name: str, case: Case, timing: Timing) -> Result:
    measurements = [
        Measurement(side, seconds, timing.median(side)) for side, seconds in timing.seconds.items()
    ]
    ratio = timing.ratio('mmseg')
    comparison = Comparison('mmseg', ratio.median, ratio.minimum, ratio.maximum, None, True)
    batch = case.batch if 'loader' in task else 1
    return Result(task, name, case.crop_size, batch, measurements, [comparison])
