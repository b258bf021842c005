"""Several runs side by side: how they ended, and in which keys their configs differ."""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmseg_custom.engine.config_difference import config_difference
from mmseg_custom.engine.run_log import MEASURED, RUN_LOG, SUMMARY, plain_number, read_run_log
from mmseg_custom.visualization.curves import score_of

COUNTERS = ('mode', 'step', 'epoch', 'iter')


@dataclass
class Run:
    """What a work folder tells about its training.

    Attributes:
        records: its log.
        config: the config it was started with, as text; empty where there is none.
        summary: of ``summary.json``; empty where the run did not end.
    """

    records: list[dict]
    config: str
    summary: dict


def read_run(work_dir: Path) -> Run:
    """Read a work folder.

    Raises:
        FileNotFoundError: it holds no log.
    """
    records = read_run_log(work_dir)
    if not records:
        raise FileNotFoundError(
            f'{work_dir} holds no {RUN_LOG} with a line; give the --work-dir of tools/train.py'
        )
    path = work_dir / SUMMARY
    summary = json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}
    configs = [work_dir / summary['config']] if 'config' in summary else work_dir.glob('*.py')
    found = sorted((path for path in configs if path.is_file()), key=lambda p: p.stat().st_mtime)
    config = found[-1].read_text(encoding='utf-8') if found else ''
    return Run(records, config, summary)


def read_runs(work_dirs: Sequence[str]) -> dict[str, Run]:
    """Read work folders; their names are told apart by the folders above where they have to be.

    Raises:
        FileNotFoundError: one holds no log.
        ValueError: one is given twice.
    """
    paths = [Path(work_dir).resolve() for work_dir in work_dirs]
    if len(set(paths)) < len(paths):
        raise ValueError(f'a work folder is given twice: {" ".join(work_dirs)}')
    for number in range(1, max(len(path.parts) for path in paths) + 1):
        names = ['/'.join(path.parts[-number:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return {name: read_run(path) for name, path in zip(names, paths)}


def rows_of(runs: Mapping[str, Run]) -> dict[str, list]:
    """One row for each thing there is to say, with a value of each run.

    Returns:
        The iterations done, the best score and its iteration, the last metrics and losses, the
        seconds of an iteration and the time of all; ``None`` where a run has none.
    """
    columns = [_column(run) for run in runs.values()]
    names = dict.fromkeys(name for column in columns for name in column)
    return {name: [column.get(name) for column in columns] for name in names}


def _column(run: Run) -> dict:
    train = [record for record in run.records if record['mode'] == 'train']
    val = [record for record in run.records if record['mode'] == 'val']
    score = score_of(val)
    scores = [(float(record[score]), record['step']) for record in val if score in record]
    column: dict = {'iterations': run.records[-1]['step'], 'finished': bool(run.summary)}
    if scores:
        best, step = max(scores, key=lambda pair: (pair[0], -pair[1]))
        column |= {f'best {score}': best, 'at iteration': step}
    for records, skipped in ((val, ()), (train, ('lr', 'base_lr', 'grad_norm'))):
        if records:
            column |= {
                f'last {name}': float(value)
                for name, value in records[-1].items()
                if name not in (*COUNTERS, *MEASURED, *skipped) and not isinstance(value, dict)
            }
    if train and 'time' in train[-1]:
        seconds = sum(record['time'] for record in train) / len(train)
        column['seconds/iteration'] = seconds
        whole = datetime.timedelta(seconds=round(seconds * run.records[-1]['step']))
        column['training time'] = str(whole)
    return column


def format_rows(runs: Mapping[str, Run]) -> str:
    """The rows as a table."""
    from prettytable import PrettyTable

    table = PrettyTable(['', *runs])
    table.align = 'r'
    table.align[''] = 'l'
    for name, values in rows_of(runs).items():
        table.add_row([name, *(_cell(name, value) for value in values)])
    return table.get_string()


def _cell(name: str, value) -> str:
    if value is None:
        return '-'
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, float):
        return f'{value:.{4 if "loss" in name or "seconds" in name else 2}f}'
    return str(value)


def differences(runs: Mapping[str, Run]) -> list[str]:
    """In which keys each further run's config differs from the first one's."""
    (first, base), *others = runs.items()
    lines = []
    for name, run in others:
        changed = config_difference(base.config, run.config, most=40)
        lines.append(f'{first} -> {name}:')
        lines += [f'    {line}' for line in changed or ['the same config']]
    return lines


def write_rows(runs: Mapping[str, Run], path: str) -> Path:
    """Write the rows as JSON: for each row a value by run; text where it is not finite."""
    content = {
        name: dict(zip(runs, map(plain_number, values))) for name, values in rows_of(runs).items()
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(f'{json.dumps(content, indent=2)}\n', encoding='utf-8')
    return Path(path)
