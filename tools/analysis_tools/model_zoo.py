"""Write docs/model_zoo.md from the configs: ``python tools/analysis_tools/model_zoo.py [--check]``.

With ``--check`` it writes nothing and exits with status 1 when the page is out of date.
"""

import argparse
import sys
from pathlib import Path

from mmseg_custom import cli

PAGE = Path(__file__).resolve().parents[2] / 'docs/model_zoo.md'


def main(argv: list[str] | None = None) -> None:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='only say whether it is up to date')
    parser.add_argument('--file', type=Path, default=PAGE, help='default: docs/model_zoo.md')
    parser.add_argument('--traceback', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    from mmseg_custom.benchmark.model_zoo import is_current, make_page
    from mmseg_custom.writing import write_atomically

    page = make_page()
    if not args.check:
        write_atomically(args.file, page.encode())
        print(f'wrote {args.file}')
    elif is_current(page, args.file):
        print(f'{args.file} is up to date')
    else:
        print(
            f'{args.file} is out of date; run: python tools/analysis_tools/model_zoo.py',
            file=sys.stderr,
        )
        sys.exit(1)


if __name__ == '__main__':
    cli.run(main)
