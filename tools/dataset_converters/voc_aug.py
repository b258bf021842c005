"""VOC 2012 with SBD: ``python tools/dataset_converters/voc_aug.py data/VOCdevkit SBD``.

Writes ``SegmentationClassAug`` and the lists ``aug.txt`` and ``trainaug.txt``.
"""

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Convert as the command line says."""
    args = cli.parse_conversion(
        argv,
        'Join the label maps of Pascal VOC 2012 and SBD.',
        'SegmentationClassAug',
        devkit='VOCdevkit, with VOC2012',
        sbd='benchmark_RELEASE of SBD',
    )
    from mmseg_custom.datasets.converters.voc_aug import convert_voc_aug

    result = convert_voc_aug(
        args.devkit, args.sbd, args.out_dir, workers=args.workers, overwrite=args.overwrite
    )
    cli.report_conversion(result)


if __name__ == '__main__':
    cli.run(main)
