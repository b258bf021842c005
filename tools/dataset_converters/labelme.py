"""LabelMe's shapes as masks: ``python tools/dataset_converters/labelme.py IMAGES MASKS``.

Give the folder of all splits, so that each has the same classes.
"""

import argparse

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Convert as the command line says."""
    parser = argparse.ArgumentParser(description='Draw the shapes of LabelMe into masks.')
    parser.add_argument('images', help='folder of pictures, JSON files beside them')
    parser.add_argument('masks', help='folder of the results')
    parser.add_argument('--yaml', help='dataset.yaml to write with the classes')
    cli.add_conversion_arguments(parser)
    args = parser.parse_args(argv)
    from mmseg_custom.datasets.converters.objects import convert_labelme

    result = convert_labelme(
        args.images, args.masks, yaml_path=args.yaml, workers=args.workers, overwrite=args.overwrite
    )
    cli.report_conversion(result)


if __name__ == '__main__':
    cli.run(main)
