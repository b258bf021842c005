"""Train a segmentor: ``python tools/train.py CONFIG``."""

import argparse

from mmseg_custom import cli


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Train a segmentor.')
    parser.add_argument('config', help='path of a config, or its path below configs/')
    parser.add_argument('--work-dir', help='default: work_dirs/<name of the config>')
    parser.add_argument(
        '--resume',
        nargs='?',
        const=True,
        default=False,
        metavar='CHECKPOINT',
        help='continue from this checkpoint, or from the newest whole one of the work folder',
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='start anew, removing what could be resumed'
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument(
        '--from-scratch', action='store_true', help='do not load pretrained weights'
    )
    parser.add_argument('--tensorboard', action='store_true', help='write TensorBoard files too')
    parser.add_argument('--compile', action='store_true', help='torch.compile the model')
    cli.add_launcher_argument(parser)
    cli.add_common_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says."""
    args = parse_arguments(argv)
    from mmseg_custom.engine.config import load_config
    from mmseg_custom.engine.launch import train

    train(
        load_config(args.config, args.cfg_options),
        work_dir=args.work_dir,
        resume=args.resume,
        amp=args.amp,
        launcher=args.launcher,
        compile=args.compile,
        from_scratch=args.from_scratch,
        overwrite=args.overwrite,
        tensorboard=args.tensorboard,
    )


if __name__ == '__main__':
    cli.run(main)
