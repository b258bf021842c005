"""Export a model to ONNX: ``python tools/deployment/export_onnx.py MODEL [CHECKPOINT] OUT.onnx``.

Exit status: 0; 1 when the file does not predict what the model does, which is then not written; 2
for a mistake in the call.
"""

import argparse
import sys

from mmseg_custom import cli


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Write a segmentor as an ONNX file for every size of picture, and compare the '
        'predictions of both.'
    )
    add = parser.add_argument
    add('model', help='a config, a checkpoint that carries its config, or a published name')
    add('weights', nargs='?', metavar='CHECKPOINT', help='for a config')
    add('out', metavar='OUT.onnx')
    add('--with-preprocessing', action='store_true', help='the file takes uint8 RGB pictures')
    add('--data', help="pictures to compare on; default: the config's validation data")
    add('--num-pictures', type=int, default=20, help='of these; 0: all; default %(default)s')
    add('--max-difference', type=float, default=1e-3, help='of probabilities; default %(default)s')
    add('--agreement', type=float, default=0.999, help='of labels, 0..1; default %(default)s')
    add('--overwrite', action='store_true', help='replace OUT.onnx if it exists')
    cli.add_common_arguments(parser)
    return parser.parse_intermixed_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Export as the command line says."""
    args = parse_arguments(argv)
    from mmseg_custom.deployment.onnx_export import export_onnx
    from mmseg_custom.deployment.parity import ParityError

    try:
        export_onnx(
            args.model,
            args.weights,
            args.out,
            with_preprocessing=args.with_preprocessing,
            data=args.data,
            num_pictures=args.num_pictures,
            max_difference=args.max_difference,
            agreement=args.agreement,
            overwrite=args.overwrite,
            cfg_options=args.cfg_options,
        )
    except ParityError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(1)


if __name__ == '__main__':
    cli.run(main)
