"""Coloured masks as index masks: ``python tools/dataset_converters/colours.py SRC DST COLOURS``.

``COLOURS`` is YAML or JSON, in the order of the indices: lines such as ``road: '#804080'``.
"""

import argparse

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Convert as the command line says."""
    parser = argparse.ArgumentParser(description='Replace the colours of masks by indices.')
    parser.add_argument('src', help='folder of coloured masks')
    parser.add_argument('dst', help='folder of the results')
    parser.add_argument(
        'colours', help='YAML or JSON: name: colour, a list of colours, or a dataset.yaml'
    )
    cli.add_conversion_arguments(parser)
    args = parser.parse_args(argv)
    from mmseg_custom.datasets.converters.colours import convert_colours

    result = convert_colours(
        args.src, args.dst, args.colours, workers=args.workers, overwrite=args.overwrite
    )
    cli.report_conversion(result)


if __name__ == '__main__':
    cli.run(main)
