"""One training with several seeds, and how far their results lie apart."""

import copy
import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process

from mmseg_custom.engine.launch import default_work_dir, train
from mmseg_custom.engine.run_log import MEASURED, read_run_log
from mmseg_custom.engine.run_table import COUNTERS
from mmseg_custom.visualization.curves import score_of
from mmseg_custom.writing import write_atomically

TABLE = 'seeds.json'


def train_seeds(
    config: Config, seeds: Sequence[int], work_dir: str | None = None, **options
) -> dict[str, dict]:
    """Train once with each seed, one after another, and sum up.

    Args:
        config: see :func:`mmseg_custom.engine.config.load_config`.
        seeds: each gets a folder ``seed_<N>``.
        work_dir: of these folders and ``seeds.json``; default ``work_dirs/<name of the config>``.
        **options: of :func:`mmseg_custom.engine.launch.train`. With ``resume`` each run continues
            where it was stopped: a finished one is validated again, one that did not start begins.

    Returns:
        What ``seeds.json`` holds: :func:`summarise` of the runs' last validations and best scores.

    Raises:
        ValueError: a seed is given twice, or ``resume`` names a checkpoint.
    """
    if len(set(seeds)) < len(seeds):
        raise ValueError(f'--seeds {" ".join(map(str, seeds))}: a seed is given twice')
    if isinstance(options.get('resume'), str):
        raise ValueError('--resume CHECKPOINT belongs to one run; with --seeds give --resume alone')
    folder = Path(work_dir or default_work_dir(config))
    results: dict[int, dict[str, float]] = {}
    for seed in seeds:
        run = folder / f'seed_{seed}'
        train(copy.deepcopy(config), work_dir=str(run), seed=seed, **options)
        barrier()  # the first process writes what the others read
        results[seed] = result_of(run)
        summary = summarise(results)
        if is_main_process():
            write_atomically(folder / TABLE, f'{json.dumps(summary, indent=2)}\n'.encode())
            print(format_table(summary, seeds[: len(results)]), flush=True)
    return summary


def result_of(run: Path) -> dict[str, float]:
    """The metrics of a run's last validation and its best score, from its ``log.jsonl``."""
    validations = [record for record in read_run_log(run) if record['mode'] == 'val']
    last = validations[-1] if validations else {}
    skipped = (*COUNTERS, *MEASURED)
    result = {name: value for name, value in last.items() if name not in skipped}
    score = score_of(validations)
    scores = [float(record[score]) for record in validations if score in record]
    if scores:
        result['best'] = max(scores)
    # What is not finite is text there; scores of single classes are a dict.
    return {name: float(value) for name, value in result.items() if not isinstance(value, dict)}


def summarise(results: dict[int, dict[str, float]]) -> dict[str, dict]:
    """Mean, sample standard deviation and the single values of each metric.

    Args:
        results: of each seed, metrics by name.

    Returns:
        By metric ``mean``, ``std`` (``None`` for one run) and ``values`` by seed; metrics that all
        runs have.
    """
    first, *others = results.values()
    table = {}
    for name in [name for name in first if all(name in result for result in others)]:
        values = {str(seed): result[name] for seed, result in results.items()}
        numbers = [*values.values()]
        finite = all(map(math.isfinite, numbers))
        table[name] = {
            'mean': statistics.fmean(numbers),
            'std': statistics.stdev(numbers) if len(numbers) > 1 and finite else None,
            'values': values,
        }
    return table


def format_table(summary: dict[str, dict], seeds: Sequence[int]) -> str:
    """A line for each metric: its values, their mean and standard deviation."""
    from prettytable import PrettyTable

    table = PrettyTable(['', *(f'seed {seed}' for seed in seeds), 'mean', 'std'])
    table.align = 'r'
    table.align[''] = 'l'
    for name, row in summary.items():
        digits = 4 if 'loss' in name else 2
        values = [*row['values'].values(), row['mean'], row['std']]
        cells = ['-' if value is None else f'{value:.{digits}f}' for value in values]
        table.add_row([name, *cells])
    return table.get_string()
