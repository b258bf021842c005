"""Weights to hand on: ``python tools/model_converters/publish_model.py SRC DST.pth``.

Writes ``DST-<hash>.pth`` (or ``.safetensors``): the weights without the state of the run, with
classes, colours, preprocessing and config.
"""

import argparse

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Publish as the command line says."""
    parser = argparse.ArgumentParser(description='Write the weights of a checkpoint alone.')
    parser.add_argument('src', help='checkpoint')
    parser.add_argument('dst', help='.pth or .safetensors; the hash is put before the suffix')
    cli.add_traceback_argument(parser)
    args = parser.parse_args(argv)
    from mmseg_custom.checkpoints.publish import publish

    print(f'wrote {publish(args.src, args.dst)}')


if __name__ == '__main__':
    cli.run(main)
