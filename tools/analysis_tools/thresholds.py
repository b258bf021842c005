"""IoU by threshold and calibration: ``thresholds.py MODEL [WEIGHTS] --out PNG``."""

import argparse
from pathlib import Path

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Predict, count, draw."""
    parser = argparse.ArgumentParser(description='Draw IoU by threshold, and calibration.')
    cli.add_model_arguments(parser)
    parser.add_argument('--out', type=Path, required=True, help='PNG file to write')
    parser.add_argument('--split', choices=['test', 'val'], default='val', help='default: val')
    cli.add_common_arguments(parser)
    args = parser.parse_intermixed_args(argv)
    from mmseg_custom.inference.inferencer import Inferencer
    from mmseg_custom.inference.labelled import predict_labelled
    from mmseg_custom.inference.thresholds import count_thresholds, plot_thresholds

    options = dict(probs=True, confidence=False, cfg_options=args.cfg_options)
    inferencer = Inferencer(args.model, args.weights, args.device, **options)
    found = count_thresholds(predict_labelled(inferencer, args.split))
    threshold = getattr(inferencer.model.decode_head, 'threshold', None) or 0.5
    plot_thresholds(found, threshold, args.out)
    best, iou = found.best()
    error = 100 * found.calibration_error()
    print(f'best foreground IoU {iou:.2f} at threshold {best:g}; calibration error {error:.2f} %')
    print(f'wrote {args.out}')


if __name__ == '__main__':
    cli.run(main)
