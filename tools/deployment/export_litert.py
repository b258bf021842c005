"""Export a model for TensorFlow: ``export_litert.py MODEL [CHECKPOINT] OUT.tflite --size 512``.

A name without suffix becomes a SavedModel. Exit status: 0; 1 when the file does not predict what
the model does, which is then not written; 2 for a mistake in the call.
"""

import argparse
from pathlib import Path

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Export as the command line says."""
    parser = argparse.ArgumentParser(description='Write a LiteRT file, and compare it.')
    cli.add_export_arguments(parser, 'OUT.tflite')
    parser.add_argument(
        '--size',
        type=int,
        nargs='+',
        default=[512],
        metavar='PIXELS',
        help='of the pictures that it takes: side, or height and width; default 512',
    )
    args = parser.parse_intermixed_args(argv)
    if len(args.size) > 2 or min(args.size) < 1:
        raise ValueError(f'--size {args.size}: expected a side, or height and width, in pixels')
    from mmseg_custom.deployment.checked_file import exit_if_different, wanted_file
    from mmseg_custom.deployment.litert import SUFFIX, export_litert
    from mmseg_custom.deployment.parity_pictures import Source

    with exit_if_different():
        wanted = wanted_file(args, SUFFIX if Path(args.out).suffix else '')
        export_litert(Source.of(args), wanted, (args.size[0], args.size[-1]))


if __name__ == '__main__':
    cli.run(main)
