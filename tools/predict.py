"""Predict pictures: ``python tools/predict.py MODEL [WEIGHTS] SOURCE --out-dir DIR``.

``MODEL`` is a config, with its ``WEIGHTS``, or a checkpoint alone, or a published name. ``SOURCE``
is a picture, a folder, searched with its sub-folders, a quoted pattern, or a video. What is written
of each picture is said by ``--save``. Exit status: 0; 1 when a picture could not be read or
predicted; 2 for a mistake in the call.
"""

import argparse
import sys

from mmseg_custom import cli


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Predict the classes of every pixel of pictures.')
    parser.add_argument('model', help='a config, a checkpoint that carries its config, or a name')
    parser.add_argument('weights', nargs='?', help='checkpoint for a config')
    parser.add_argument('source', metavar='SOURCE', help='picture, folder, "pattern", or video')
    parser.add_argument('--out-dir', required=True, help='folder for the results')
    parser.add_argument(
        '--save',
        default='mask,overlay',
        help='some of mask, color, overlay, side-by-side, probs, regions (GeoJSON, COCO, CSV), '
        'hosted (JSON); default %(default)s',
    )
    parser.add_argument('--device', help='cpu, cuda, cuda:1 ...; default: a GPU if there is one')
    parser.add_argument('--batch-size', type=int, default=1, help='pictures at once; default 1')
    parser.add_argument(
        '--opacity', type=float, default=0.5, help='of the class colours, 0 to 1; default 0.5'
    )
    parser.add_argument('--min-area', type=int, default=1, help='of a region, in pixels')
    parser.add_argument('--whole-classes', action='store_true', help='one region for each class')
    parser.add_argument(
        '--tile', type=int, help='side of tiles, for TIFF files too large for the memory'
    )
    parser.add_argument('--overlap', type=int, default=64, help='of tiles, in pixels; default 64')
    parser.add_argument(
        '--max-memory', type=float, default=2.0, help='GiB over the model with --tile'
    )
    parser.add_argument('--amp', action='store_true', help='half precision')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    parser.add_argument('--overwrite', action='store_true', help='replace files that exist')
    cli.add_common_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Predict as the command line says."""
    args = parse_arguments(argv)
    if not 0 <= args.opacity <= 1:
        raise ValueError(f'--opacity {args.opacity}: expected 0 (picture) to 1 (classes only)')
    from mmseg_custom.host_memory import keep_freed_memory
    from mmseg_custom.inference.inferencer import Inferencer
    from mmseg_custom.inference.prediction import RegionOptions
    from mmseg_custom.inference.prediction_files import (
        Tiling,
        plan_jobs,
        predict_files,
        predict_large_files,
    )
    from mmseg_custom.inference.prediction_report import report_results
    from mmseg_custom.writing import check_writable

    keep_freed_memory()
    kinds = ['mask'] if args.tile else [kind for kind in args.save.split(',') if kind]
    jobs = plan_jobs(args.source, args.out_dir, kinds, args.overwrite, bool(args.tile))
    report = []
    inferencer = Inferencer(
        args.model,
        args.weights,
        args.device,
        batch_size=args.batch_size,
        half=args.amp,
        tta=args.tta,
        probs='probs' in kinds,
        regions=RegionOptions(args.whole_classes, args.min_area),
        cfg_options=args.cfg_options,
        show=report.append,
    )
    check_writable(args.out_dir, '--out-dir')
    print(*report, file=sys.stderr)
    if args.tile:
        tiling = Tiling(args.tile, args.overlap, args.max_memory)
        results = predict_large_files(inferencer, jobs, tiling)
    else:
        results = predict_files(inferencer, jobs, args.out_dir, args.opacity)
    if report_results(results, len(jobs), inferencer, args.out_dir):
        sys.exit(1)


if __name__ == '__main__':
    cli.run(main)
