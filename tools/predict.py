"""Predict pictures: ``python tools/predict.py MODEL [WEIGHTS] SOURCE --out-dir DIR``.

Exit status: 0; 1 when a picture could not be read or predicted; 2 for a mistake in the call.
"""

import argparse
import sys

from mmseg_custom import cli

KINDS = 'mask, color, overlay, side-by-side, probs, regions (GeoJSON, COCO, CSV), hosted (JSON)'


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Predict the classes of every pixel of pictures.')
    add = parser.add_argument
    add('model', help='a config, a checkpoint that carries its config, or a published name')
    add('weights', nargs='?', help='checkpoint for a config')
    add('source', metavar='SOURCE', help='a picture, folder, "pattern", or video')
    add('--out-dir', required=True, help='folder for the results')
    add('--save', default='mask,overlay', help=f'some of {KINDS}; default %(default)s')
    add('--device', help='cpu, cuda, cuda:1 ...; default: a GPU if there is one')
    add('--batch-size', type=int, default=1, help='pictures at once; default 1')
    add('--opacity', type=float, default=0.5, help='of the class colours, 0 to 1; default 0.5')
    add('--min-area', type=int, default=1, help='of a region, in pixels; default 1')
    add('--whole-classes', action='store_true', help='one region for each class')
    add('--tile', type=int, help='side of tiles, for TIFF files larger than the memory')
    add('--overlap', type=int, default=64, help='of tiles, in pixels; default 64')
    add('--max-memory', type=float, default=2.0, help='GiB over the model with --tile; default 2')
    add('--amp', action='store_true', help='half precision')
    add('--tta', action='store_true', help='test-time augmentation')
    add('--overwrite', action='store_true', help='replace files that exist')
    cli.add_common_arguments(parser)
    return parser.parse_intermixed_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Predict as the command line says."""
    args = parse_arguments(argv)
    if not 0 <= args.opacity <= 1:
        raise ValueError(f'--opacity {args.opacity}: expected 0 (picture) to 1 (classes only)')
    from mmseg_custom.host_memory import keep_freed_memory
    from mmseg_custom.inference import prediction_files as files
    from mmseg_custom.inference.inferencer import Inferencer
    from mmseg_custom.inference.prediction import RegionOptions
    from mmseg_custom.inference.prediction_report import report_results
    from mmseg_custom.writing import check_writable

    keep_freed_memory()
    kinds = ['mask'] if args.tile else [kind for kind in args.save.split(',') if kind]
    jobs = files.plan_jobs(args.source, args.out_dir, kinds, args.overwrite, bool(args.tile))
    report = []
    inferencer = Inferencer(
        *(args.model, args.weights, args.device),
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
        tiling = files.Tiling(args.tile, args.overlap, args.max_memory)
        results = files.predict_large_files(inferencer, jobs, tiling)
    else:
        results = files.predict_files(inferencer, jobs, args.out_dir, args.opacity)
    if report_results(results, len(jobs), inferencer, args.out_dir):
        sys.exit(1)


if __name__ == '__main__':
    cli.run(main)
