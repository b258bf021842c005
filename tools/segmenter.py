"""Train a segmenter from a few numbers: ``python tools/segmenter.py COMMAND``; docs/templates.md.

Exit status: 0; 1 when the training that was waited for failed; 2 for a mistake in the call.
"""

import argparse

from mmseg_custom import cli
from mmseg_custom.templates.arguments import build_parser


def main(argv: list[str] | None = None) -> None:
    """Do what the command line says."""
    common = argparse.ArgumentParser(add_help=False)
    cli.add_traceback_argument(common)
    args = build_parser([common]).parse_args(argv)
    from mmseg_custom.templates.commands import run_command

    run_command(args)


if __name__ == '__main__':
    cli.run(main)
