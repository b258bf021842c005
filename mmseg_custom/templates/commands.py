"""What each subcommand of ``tools/segmenter.py`` does and prints."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from prettytable import PrettyTable

from mmseg_custom.inference.prediction import Prediction
from mmseg_custom.templates.client import App, Model
from mmseg_custom.templates.models import TEMPLATES
from mmseg_custom.templates.params_file import default_params, dump_params
from mmseg_custom.templates.records import FAILED

TOOL = 'python tools/segmenter.py'
EXIT_FAILED = 1
MOST_REGIONS = 10


def run_command(args: argparse.Namespace) -> None:
    """Do what a command line says.

    Args:
        args: ``command``, ``root`` and what the command takes.
    """
    COMMANDS[args.command](args, App(getattr(args, 'app', 'default'), args.root))


def _templates(args, app: App) -> None:
    for name, fields in TEMPLATES.items():
        print(f'{name:26}{fields.summary}')


def _params(args, app: App) -> None:
    print(dump_params(default_params(args.template, dataset_id=args.dataset)), end='')


def _concepts(args, app: App) -> None:
    print(*app.datasets.concepts(args.dataset), sep='\n')


def _dataset_create(args, app: App) -> None:
    entry = app.datasets.create(args.name, args.folder)
    content = app.datasets.content(entry.name)
    for split, reason in content.left_out.items():
        print(f'left out: split {split} ({reason})', file=sys.stderr)
    print(f'{entry.name}  {entry.folder}  {_counts(content.splits)}')
    print(f'classes: {", ".join(content.classes)}')


def _dataset_version(args, app: App) -> None:
    version = app.datasets.version(args.name)
    size = f'{len(version.manifest["files"])} files, {version.size / 2**20:.1f} MiB'
    print(f'{version.id}  {_counts(version.splits)}  {size}')
    print(f'files: {version.folder}')


def _dataset_list(args, app: App) -> None:
    table = _table('name', 'folder', 'version', 'made', 'samples')
    for entry in app.datasets.list():
        table.add_row([entry.name, entry.folder, '-', '-', '-'])
        for version in app.datasets.versions(entry.name):
            made = _time(version.created)
            table.add_row(['', '', version.id, made, _counts(version.splits)])
    print(table)


def _train(args, app: App) -> None:
    model = app.create_model(args.name, next(iter(TEMPLATES)))
    try:
        model.load_params(args.params)
    except ValueError as error:
        *others, last = str(error).splitlines()
        for line in others:
            print(f'error: {line}', file=sys.stderr)
        raise ValueError(last) from error
    if args.dump_config:
        print(model.dump_config(), end='')
        return
    model.train()
    run = app.runs.get(model.run_id)
    print(f'{run.id}  {model.status()}', flush=True)
    print(f'data set {run.dataset}, version {run.version}, device {run.device}', flush=True)
    if args.follow:
        _follow(model)
    else:
        print(f'watch it with: {TOOL} logs {run.id} --follow; {TOOL} status {run.id}')


def _status(args, app: App) -> None:
    model = app.run(args.run)
    if args.wait:
        status = model.wait(show=None if args.json else _print_now)
    else:
        status = model.status()
    if args.json:
        print(json.dumps({'run': args.run, **asdict(status)}))
    elif not args.wait:
        print(f'{args.run}  {status}')
    if args.wait:
        _leave_with(status)


def _logs(args, app: App) -> None:
    if args.follow:
        _follow(app.run(args.run))
    else:
        print(*app.runs.logs(args.run), sep='\n')


def _stop(args, app: App) -> None:
    print(f'{args.run}  {app.runs.stop(args.run)}')


def _resume(args, app: App) -> None:
    print(f'{args.run}  {app.runs.resume(args.run)}')


def _runs(args, app: App) -> None:
    table = _table('run', 'app', 'model', 'template', 'data set', 'version', 'queued', 'status')
    for run in app.runs.list():
        names = (run.id, run.app, run.model, run.template, run.dataset, run.version[:8])
        table.add_row([*names, _time(run.queued), str(app.runs.status(run.id))])
    print(table)


def _predict(args, app: App) -> None:
    run = app.runs.get(args.run)
    out_dir = args.out_dir or run.folder / 'predictions'
    model = app.run(args.run)
    predictions = model.predict(args.images, out_dir, args.device)
    if args.json:
        print(json.dumps([_described(prediction) for prediction in predictions]))
        return
    print(_regions_table(predictions))
    print(f'overlays and regions: {out_dir}')


def _described(prediction: Prediction) -> dict:
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


def _regions_table(predictions: Sequence[Prediction]) -> PrettyTable:
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


def _evaluate(args, app: App) -> None:
    metrics = app.run(args.run).evaluate(args.split)
    for name, value in metrics.items():
        print(f'{name:24}{value:.2f}')


def _export(args, app: App) -> None:
    print(app.run(args.run).export(args.out_dir, args.format))


def _page(args, app: App) -> None:
    from mmseg_custom.templates.page import build_page
    from mmseg_custom.web.pages import serve_page

    serve_page(build_page(app), args.host, args.port)


def _follow(model: Model) -> None:
    """Print the log until the run ends, and leave with a status that says how."""
    try:
        for line in model.logs(follow=True):
            _print_now(line)
    except KeyboardInterrupt:
        print(f'\n{model.run_id} goes on; stop it with: {TOOL} stop {model.run_id}')
        return
    status = model.status()
    print(f'{model.run_id}  {status}')
    _leave_with(status)


def _leave_with(status) -> None:
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


COMMANDS: dict[str, Callable[[argparse.Namespace, App], None]] = {
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
