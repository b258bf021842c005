"""Test a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``."""

import argparse

from mmseg_custom import cli


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Test (and evaluate) a segmentor.')
    parser.add_argument('config', help='path of a config, or its path below configs/')
    parser.add_argument('checkpoint', help='path of the weights')
    parser.add_argument('--work-dir', help='default: work_dirs/<name of the config>')
    parser.add_argument('--out', help='folder for the predicted label maps (PNG)')
    parser.add_argument('--show-dir', help='folder for painted predictions')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    parser.add_argument('--compile', action='store_true', help='torch.compile the model')
    parser.add_argument('--amp', action='store_true', help='half precision')
    cli.add_launcher_argument(parser)
    cli.add_common_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Test as the command line says."""
    args = parse_arguments(argv)
    from mmseg_custom.engine.config import load_config
    from mmseg_custom.engine.launch import test

    test(
        load_config(args.config, args.cfg_options),
        args.checkpoint,
        work_dir=args.work_dir,
        out=args.out,
        show_dir=args.show_dir,
        tta=args.tta,
        launcher=args.launcher,
        compile=args.compile,
        amp=args.amp,
    )


if __name__ == '__main__':
    cli.run(main)
