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
    cli.add_model_arguments(parser)
    add = parser.add_argument
    add('source', metavar='SOURCE', help='a picture, video, folder, or "pattern"')
    add('--out-dir', required=True, help='folder for the results')
    add('--save', help=f'some of {KINDS}; default mask,overlay, of videos overlay')
    add('--batch-size', type=int, default=1, help='pictures at once; default 1')
    add('--opacity', type=float, default=0.5, help='of the class colours, 0 to 1; default 0.5')
    add('--min-area', type=int, default=1, help='of a region, in pixels; default 1')
    add('--whole-classes', action='store_true', help='one region for each class')
    add('--tile', type=int, help='side of tiles, for TIFF files larger than the memory')
    add('--overlap', type=int, default=64, help='of tiles, in pixels; default 64')
    add('--max-memory', type=float, default=2.0, help='GiB over the model with --tile; default 2')
    add('--engine', choices=['here', 'ray'], default='here', help='ray: a cluster, resumable')
    add('--workers', type=int, default=2, help='of --engine ray; default 2')
    add('--amp', action='store_true', help='half precision')
    add('--tta', action='store_true', help='test-time augmentation')
    add('--overwrite', action='store_true', help='replace files that exist')
    cli.add_common_arguments(parser)
    return parser.parse_intermixed_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Predict as the command line says."""
    args = parse_arguments(argv)
    from mmseg_custom.host_memory import keep_freed_memory
    from mmseg_custom.inference.bulk import predict_source
    from mmseg_custom.inference.prediction import RegionOptions
    from mmseg_custom.inference.prediction_files import Tiling

    keep_freed_memory()
    words = (args.save or '').replace(',', ' ').split()
    kinds = None if args.save is None else words
    wanted = {*(kinds or ())}
    options = dict(
        model=args.model,
        weights=args.weights,
        device=args.device,
        batch_size=args.batch_size,
        half=args.amp,
        tta=args.tta,
        probs='probs' in wanted,
        confidence=bool(wanted & {'regions', 'hosted'}),
        regions=RegionOptions(args.whole_classes, args.min_area),
        cfg_options=args.cfg_options,
    )
    num_left_out = predict_source(
        *(args.source, args.out_dir, kinds, options),
        opacity=args.opacity,
        overwrite=args.overwrite,
        tiling=Tiling(args.tile, args.overlap, args.max_memory) if args.tile is not None else None,
        num_ray_workers=args.workers if args.engine == 'ray' else None,
    )
    if num_left_out:
        sys.exit(1)


if __name__ == '__main__':
    cli.run(main)
