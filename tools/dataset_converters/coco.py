"""COCO's objects as masks: ``python tools/dataset_converters/coco.py JSON IMAGES MASKS``.

Polygons and run lengths become index masks, 0 is background, the smaller of two objects on top.
"""

import argparse

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Convert as the command line says."""
    parser = argparse.ArgumentParser(description='Draw the objects of a COCO JSON into masks.')
    parser.add_argument('annotations', help='JSON of objects')
    parser.add_argument('images', help='folder of its pictures')
    parser.add_argument('masks', help='folder of the results')
    parser.add_argument('--yaml', help='dataset.yaml to write with the classes')
    cli.add_conversion_arguments(parser)
    args = parser.parse_args(argv)
    from mmseg_custom.datasets.converters.objects import convert_coco

    result = convert_coco(
        args.annotations,
        args.images,
        args.masks,
        yaml_path=args.yaml,
        workers=args.workers,
        overwrite=args.overwrite,
    )
    cli.report_conversion(result)


if __name__ == '__main__':
    cli.run(main)
