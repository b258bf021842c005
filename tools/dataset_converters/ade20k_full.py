"""The full ADE20K to 150 classes: ``python tools/dataset_converters/ade20k_full.py SRC DST``.

``DST`` gets the layout of ``ADEChallengeData2016``.
"""

import argparse

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Convert as the command line says."""
    parser = argparse.ArgumentParser(
        description='Write the 150 classes of the benchmark from the full ADE20K.'
    )
    parser.add_argument('src', help='ADE20K_2021_17_01')
    parser.add_argument('dst', help='new folder')
    parser.add_argument(
        '--table', help='mapFromADE.txt of the benchmark; names are mapped without it'
    )
    parser.add_argument(
        '--short-side', type=int, default=512, help='of the results, in pixels at most; 0: as it is'
    )
    cli.add_conversion_arguments(parser)
    args = parser.parse_args(argv)
    from mmseg_custom.datasets.converters.ade20k import convert_ade20k

    result = convert_ade20k(
        args.src,
        args.dst,
        args.table,
        args.short_side,
        workers=args.workers,
        overwrite=args.overwrite,
    )
    cli.report_conversion(result)


if __name__ == '__main__':
    cli.run(main)
