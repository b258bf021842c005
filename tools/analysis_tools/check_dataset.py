"""Look for everything that is wrong with a data set: ``check_dataset.py CONFIG_OR_FOLDER``.

Exit status: 0 nothing or warnings only, 1 errors in the data, 2 a mistake in the call.
"""

import argparse
import sys
from pathlib import Path

from mmseg_custom import cli


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Check every image and mask of a data set, and say what to do.'
    )
    parser.add_argument(
        'source',
        metavar='CONFIG_OR_FOLDER',
        help='path of a config, or its path below configs/; or a folder of your own',
    )
    parser.add_argument('--report', metavar='OUT.html', help='write the report as a page, too')
    parser.add_argument('--workers', type=int, metavar='N', help='processes; default: all cores')
    cli.add_common_arguments(parser)
    return parser.parse_args(argv)


def datasets_of(source: str, cfg_options: list[str] | None) -> dict[str, dict]:
    """The configs of the data sets of a config, or of the splits of a folder, by split."""
    from mmseg_custom.datasets.inspection.sources import folder_config, folder_splits
    from mmseg_custom.engine.config import load_config

    if not Path(source).is_dir():
        config = load_config(source, cfg_options)
        return {
            name: config[f'{name}_dataloader'].dataset
            for name in ('train', 'val', 'test')
            if config.get(f'{name}_dataloader')
        }
    config = load_config(folder_config(source), [f'data_root={source}', *(cfg_options or [])])
    splits = {'train': config.train_dataloader.dataset, 'val': config.val_dataloader.dataset}
    for name in folder_splits(source):
        splits.setdefault(name, {**config.val_dataloader.dataset, 'split': name})
    return splits


def main(argv: list[str] | None = None) -> None:
    """Inspect, print, and write the page."""
    args = parse_arguments(argv)
    from mmseg_custom.datasets.inspection import has_errors, inspect
    from mmseg_custom.datasets.inspection.html_report import render
    from mmseg_custom.datasets.inspection.summary import lines
    from mmseg_custom.registry import register_all
    from mmseg_custom.writing import check_writable, write_atomically

    if args.workers is not None and args.workers < 0:
        raise ValueError(f'--workers {args.workers}; expected 0 (this process) or more')
    register_all()
    datasets = datasets_of(args.source, args.cfg_options)
    if args.report:
        check_writable(Path(args.report).parent, '--report')
    splits, findings = inspect(datasets, args.workers)
    for line in lines(splits, findings):
        # Names of files may hold bytes that are no UTF-8.
        print(line.encode(errors='backslashreplace').decode())
    if args.report:
        page = render(f'Data set {args.source}', splits, findings)
        write_atomically(Path(args.report), page.encode())
        print(f'report: {args.report}')
    sys.exit(1 if has_errors(findings) else 0)


if __name__ == '__main__':
    cli.run(main)
