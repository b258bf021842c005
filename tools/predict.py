"""Predict pictures: ``python tools/predict.py CONFIG CHECKPOINT IMAGE_OR_FOLDER --out-dir DIR``.

Writes ``<name>_classes.png``, of which the pixels are class indices shown in the palette, and
``<name>_overlay.png``, the picture under the class colours with a legend. A folder is searched with
its sub-folders. Exit status: 0; 1 when a picture could not be read; 2 for a mistake in the call.
"""

import argparse
import sys
from statistics import median

from mmseg_custom import cli


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Predict the classes of every pixel of pictures.')
    parser.add_argument('config', help='path of a config, or its path below configs/')
    parser.add_argument('checkpoint', help='path of the weights')
    parser.add_argument('source', metavar='IMAGE_OR_FOLDER', help='a picture, or a folder of them')
    parser.add_argument('--out-dir', required=True, help='folder for the results')
    parser.add_argument('--device', help='cpu, cuda, cuda:1 ...; default: a GPU if there is one')
    parser.add_argument(
        '--opacity', type=float, default=0.5, help='of the class colours, 0 to 1; default 0.5'
    )
    parser.add_argument('--amp', action='store_true', help='half precision')
    parser.add_argument('--overwrite', action='store_true', help='replace files that exist')
    cli.add_common_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Predict as the command line says."""
    args = parse_arguments(argv)
    if not 0 <= args.opacity <= 1:
        raise ValueError(f'--opacity {args.opacity}: expected 0 (picture) to 1 (classes only)')
    from mmseg_custom.engine.config import load_config
    from mmseg_custom.engine.launch import half_precision_inference
    from mmseg_custom.host_memory import keep_freed_memory
    from mmseg_custom.inference.prediction_files import describe, plan_jobs, predict_files
    from mmseg_custom.inference.predictor import load_model, picture_suffixes
    from mmseg_custom.writing import check_writable

    keep_freed_memory()
    config = load_config(args.config, args.cfg_options)
    jobs = plan_jobs(args.source, args.out_dir, args.overwrite, picture_suffixes(config))
    if args.amp:
        half_precision_inference(config)
    report = []
    model = load_model(config, args.checkpoint, args.device, show=report.append)
    check_writable(args.out_dir, '--out-dir')
    print(*report, file=sys.stderr)
    done, failed = [], []
    for result in predict_files(model, jobs, args.opacity):
        if result.error:
            failed.append(result)
            continue
        done.append(result)
        print(describe(result, model.dataset_meta['classes']), flush=True)
    if done:
        latency_ms = median(result.latency_ms for result in done)
        print(
            f'{len(done)} of {len(jobs)} pictures, {latency_ms:.0f} ms each (median); class maps '
            f'(*_classes.png) and overlays (*_overlay.png) are in {args.out_dir}'
        )
    if failed:
        print(f'{len(failed)} of {len(jobs)} pictures were left out:', file=sys.stderr)
        for result in failed:
            print(f'  {result.error}', file=sys.stderr)
        sys.exit(1)


if __name__ == '__main__':
    cli.run(main)
