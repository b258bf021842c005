"""Compare trainings: ``python tools/analysis_tools/analyze_logs.py WORK_DIR [WORK_DIR ...]``."""

import argparse

from mmseg_custom import cli


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Put trainings side by side: how they ended, what their configs differ in.'
    )
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR', help='of tools/train.py')
    parser.add_argument('--out', metavar='PNG', help='also draw their curves into this file')
    parser.add_argument('--json', metavar='FILE', help='also write the table into this file')
    cli.add_traceback_argument(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Compare as the command line says."""
    args = parse_arguments(argv)
    from mmseg_custom.engine.run_table import differences, format_rows, read_runs, write_rows
    from mmseg_custom.visualization.curves import compare_curves

    runs = read_runs(args.work_dirs)
    print('\n'.join([format_rows(runs), *differences(runs)]))
    if args.out:
        print('curves:', compare_curves({k: run.records for k, run in runs.items()}, args.out))
    if args.json:
        print('table:', write_rows(runs, args.json))


if __name__ == '__main__':
    cli.run(main)
