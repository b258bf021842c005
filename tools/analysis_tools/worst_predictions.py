"""A page of the worst predictions: ``worst_predictions.py MODEL [WEIGHTS] --out HTML``."""

import argparse
from pathlib import Path

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Predict, rank, and write the page."""
    parser = argparse.ArgumentParser(description='Show the pictures that are predicted worst.')
    cli.add_model_arguments(parser)
    parser.add_argument('--out', type=Path, required=True, help='HTML file to write')
    parser.add_argument('--num', type=int, default=20, help='pictures; default 20')
    parser.add_argument('--split', choices=['test', 'val'], default='test', help='default: test')
    cli.add_common_arguments(parser)
    args = parser.parse_intermixed_args(argv)
    from mmseg_custom.inference.inferencer import Inferencer
    from mmseg_custom.inference.labelled import write_gallery

    options = dict(confidence=False, cfg_options=args.cfg_options)
    inferencer = Inferencer(args.model, args.weights, args.device, **options)
    for found in write_gallery(inferencer, args.split, args.num, args.out)[: args.num]:
        print(f'{found.miou:6.2f}  {found.path}')
    print(f'wrote {args.out}')


if __name__ == '__main__':
    cli.run(main)
