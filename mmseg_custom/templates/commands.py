"""What each subcommand of ``tools/segmenter.py`` does and prints."""

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prettytable import PrettyTable

from mmseg_custom.templates.datasets import Datasets
from mmseg_custom.templates.models import TEMPLATES
from mmseg_custom.templates.params_file import Params, default_params, dump_params, load_params
from mmseg_custom.templates.records import FAILED
from mmseg_custom.templates.registry import DEFAULT_ROOT
from mmseg_custom.templates.runs import Runs, RunStatus

if TYPE_CHECKING:
    from mmseg_custom.inference.prediction import Prediction

TOOL = 'python tools/segmenter.py'
EXIT_FAILED = 1
MOST_REGIONS = 10


def run_command(args: argparse.Namespace) -> None:
    """Do what a command line says.

    Args:
        args: ``command``, ``root`` and what the command takes.
    """
    COMMANDS[args.command](args)


def _templates(args) -> None:
    for name, fields in TEMPLATES.items():
        print(f'{name:26}{fields.summary}')


def _params(args) -> None:
    print(dump_params(default_params(args.template, dataset_id=args.dataset)), end='')


def _concepts(args) -> None:
    print(*Datasets(args.root).concepts(args.dataset), sep='\n')


def _dataset_create(args) -> None:
    entry = Datasets(args.root).create(args.name, args.folder)
    content = Datasets(args.root).content(entry.name)
    for split, reason in content.left_out.items():
        print(f'left out: split {split} ({reason})', file=sys.stderr)
    print(f'{entry.name}  {entry.folder}  {_counts(content.splits)}')
    print(f'classes: {", ".join(content.classes)}')


def _dataset_version(args) -> None:
    version = Datasets(args.root).version(args.name)
    size = f'{len(version.manifest["files"])} files, {version.size / 2**20:.1f} MiB'
    print(f'{version.id}  {_counts(version.splits)}  {size}')
    print(f'files: {version.folder}')


def _dataset_list(args) -> None:
    table = _table('name', 'folder', 'version', 'made', 'samples')
    for entry in Datasets(args.root).list():
        table.add_row([entry.name, entry.folder, '-', '-', '-'])
        for version in Datasets(args.root).versions(entry.name):
            made = _time(version.created)
            table.add_row(['', '', version.id, made, _counts(version.splits)])
    print(table)


def _train(args) -> None:
    runs = Runs(args.root)
    params = _load_params(args.params)
    if args.dump_config:
        print(runs.plan(params).config, end='')
        return
    run = runs.get(runs.queue(params, args.app, args.name))
    _print_now(f'{run.id}  {runs.status(run.id)}')
    _print_now(f'data set {run.dataset}, version {run.version}, device {run.device}')
    if args.follow:
        _follow(args, run.id)
    else:
        watch = (_command(args, f'logs {run.id} --follow'), _command(args, f'status {run.id}'))
        print(f'watch it with: {"; ".join(watch)}')


def _command(args, words: str) -> str:
    """A command line for the same registry."""
    root = '' if args.root == str(DEFAULT_ROOT) else f' --root {shlex.quote(args.root)}'
    return f'{TOOL} {words}{root}'


def _load_params(path: str) -> Params:
    """Read a params file; of several faults each gets a line."""
    try:
        return load_params(path)
    except ValueError as error:
        *others, last = str(error).splitlines()
        for line in others:
            print(f'error: {line}', file=sys.stderr)
        raise ValueError(last) from error


def _status(args) -> None:
    runs = Runs(args.root)
    if args.wait:
        status = runs.wait(args.run, show=None if args.json else _print_now)
    else:
        status = runs.status(args.run)
    if args.json:
        print(json.dumps({'run': args.run, **asdict(status)}))
    elif not args.wait:
        print(f'{args.run}  {status}')
    if args.wait:
        _leave_with(status)


def _logs(args) -> None:
    if args.follow:
        _follow(args, args.run)
        return
    for line in Runs(args.root).logs(args.run):
        print(line)


def _stop(args) -> None:
    print(f'{args.run}  {Runs(args.root).stop(args.run)}')


def _resume(args) -> None:
    print(f'{args.run}  {Runs(args.root).resume(args.run)}')


def _runs(args) -> None:
    runs = Runs(args.root)
    table = _table('run', 'app', 'model', 'template', 'data set', 'version', 'queued', 'status')
    for run in runs.list():
        names = (run.id, run.app, run.model, run.template, run.dataset, run.version[:8])
        table.add_row([*names, _time(run.queued), str(runs.status(run.id))])
    print(table)


def _predict(args) -> None:
    from mmseg_custom.templates.outcome import predict

    run = Runs(args.root).get(args.run)
    out_dir = args.out_dir or run.folder / 'predictions'
    predictions = predict(run, args.images, out_dir, args.device)
    if args.json:
        print(json.dumps([_described(prediction) for prediction in predictions]))
        return
    print(_regions_table(predictions))
    print(f'overlays and regions: {out_dir}')


def _described(prediction: 'Prediction') -> dict:
    regions = [
        {
            'concept': region.name,
            'value': round(region.value, 6),
            'area_px': region.area,
            'box': list(region.box),
        }
        for region in prediction.regions
    ]
    return {'picture': prediction.name, 'regions': regions}


def _regions_table(predictions: Iterable['Prediction']) -> PrettyTable:
    """The largest regions of each picture."""
    table = _table('picture', 'concept', 'value', 'area (px)', 'box (x, y, width, height)')
    for prediction in predictions:
        regions = prediction.regions
        for region in regions[:MOST_REGIONS]:
            box = ', '.join(map(str, region.box))
            row = [region.name, f'{region.value:.3f}', region.area, box]
            table.add_row([Path(prediction.name).name, *row])
        if len(regions) > MOST_REGIONS:
            more = f'{len(regions) - MOST_REGIONS} smaller ones'
            table.add_row([Path(prediction.name).name, more, '', '', ''])
    return table


def _evaluate(args) -> None:
    from mmseg_custom.templates.outcome import evaluate

    for name, value in evaluate(Runs(args.root).get(args.run), args.split).items():
        print(f'{name:24}{value:.2f}')


def _export(args) -> None:
    from mmseg_custom.templates.outcome import export

    print(export(Runs(args.root).get(args.run), args.out_dir, args.format))


def _page(args) -> None:
    from mmseg_custom.templates.client import App
    from mmseg_custom.templates.page import build_page
    from mmseg_custom.web.pages import serve_page

    serve_page(build_page(App(root=args.root)), args.host, args.port, args.allowed_host)


def _follow(args, run_id: str) -> None:
    """Print the log until the run ends, and leave with a status that says how."""
    runs = Runs(args.root)
    try:
        for line in runs.logs(run_id, follow=True):
            _print_now(line)
    except KeyboardInterrupt:
        print(f'\n{run_id} goes on; stop it with: {_command(args, f"stop {run_id}")}')
        return
    status = runs.status(run_id)
    print(f'{run_id}  {status}')
    _leave_with(status)


def _leave_with(status: RunStatus) -> None:
    if status.status == FAILED:
        sys.exit(EXIT_FAILED)


def _print_now(line: str) -> None:
    print(line, flush=True)


def _counts(splits: dict[str, int]) -> str:
    return ', '.join(f'{split} {count}' for split, count in splits.items())


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).isoformat(' ', 'seconds')


def _table(*columns: str) -> PrettyTable:
    table = PrettyTable(columns)
    table.align = 'l'
    return table


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    'templates': _templates,
    'params': _params,
    'concepts': _concepts,
    'dataset create': _dataset_create,
    'dataset version': _dataset_version,
    'dataset list': _dataset_list,
    'train': _train,
    'status': _status,
    'logs': _logs,
    'stop': _stop,
    'resume': _resume,
    'runs': _runs,
    'predict': _predict,
    'evaluate': _evaluate,
    'export': _export,
    'page': _page,
}
