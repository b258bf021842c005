"""Pascal Context: ``python tools/dataset_converters/pascal_context.py data/VOCdevkit trainval``.

Writes ``SegmentationClassContext`` with 59 classes and background, and the lists of its splits.
"""

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Convert as the command line says."""
    args = cli.parse_conversion(
        argv,
        'Write label maps of 59 classes from Pascal Context.',
        'SegmentationClassContext',
        devkit='VOCdevkit, with VOC2010',
        labels='folder trainval with a .mat file per picture',
    )
    from mmseg_custom.datasets.converters.pascal_context import convert_pascal_context

    result = convert_pascal_context(
        args.devkit, args.labels, args.out_dir, workers=args.workers, overwrite=args.overwrite
    )
    cli.report_conversion(result)


if __name__ == '__main__':
    cli.run(main)
