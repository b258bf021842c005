"""Cityscapes' train ids: ``python tools/dataset_converters/cityscapes.py data/cityscapes``.

Writes ``*_gtFine_labelTrainIds.png`` beside each ``*_gtFine_labelIds.png``.
"""

import argparse

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Convert as the command line says."""
    parser = argparse.ArgumentParser(
        description='Write the train ids of Cityscapes from its label ids.'
    )
    parser.add_argument('root', help='folder of Cityscapes, with gtFine')
    parser.add_argument('-o', '--out-dir', help='folder of the results, in place of gtFine')
    cli.add_conversion_arguments(parser)
    args = parser.parse_args(argv)
    from mmseg_custom.datasets.converters.cityscapes import convert_cityscapes

    result = convert_cityscapes(
        args.root, args.out_dir, workers=args.workers, overwrite=args.overwrite
    )
    cli.report_conversion(result)


if __name__ == '__main__':
    cli.run(main)
