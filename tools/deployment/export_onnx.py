"""Export a model to ONNX: ``python tools/deployment/export_onnx.py MODEL [CHECKPOINT] OUT.onnx``.

Exit status: 0; 1 when the file does not predict what the model does, which is then not written; 2
for a mistake in the call.
"""

import argparse

from mmseg_custom import cli


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Write a segmentor as an ONNX file for every size of picture, and compare the '
        'predictions of both.'
    )
    cli.add_export_arguments(parser, 'OUT.onnx')
    add = parser.add_argument
    add('--with-preprocessing', action='store_true', help='the file takes uint8 RGB pictures')
    add('--fp16', metavar='FILE', help='also write a file in half precision')
    add('--int8', metavar='FILE', help='also write one of 8-bit integers; needs --calibration')
    add('--calibration', metavar='FOLDER', help='of training pictures, to measure ranges on')
    add('--exclude', nargs='+', default=[], metavar='TEXT', help='int8: keep nodes of these names')
    return parser.parse_intermixed_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Export as the command line says."""
    args = parse_arguments(argv)
    from mmseg_custom.deployment.checked_file import exit_if_different, wanted_file
    from mmseg_custom.deployment.onnx_export import export_onnx
    from mmseg_custom.deployment.parity_pictures import Source
    from mmseg_custom.deployment.quantization import Variants
    from mmseg_custom.inference.onnx_model import SUFFIX

    variants = Variants(args.fp16, args.int8, args.calibration, args.exclude, args.overwrite)
    with exit_if_different():
        export_onnx(
            Source.of(args),
            wanted_file(args, SUFFIX),
            with_preprocessing=args.with_preprocessing,
            variants=variants,
        )


if __name__ == '__main__':
    cli.run(main)
