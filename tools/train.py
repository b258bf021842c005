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
        '--overwrite', action='store_true', help='start anew, removing the checkpoints there'
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument(
        '--from-scratch', action='store_true', help='do not load pretrained weights'
    )
    parser.add_argument('--tensorboard', action='store_true', help='write TensorBoard files too')
    parser.add_argument('--compile', action='store_true', help='torch.compile the model')
    parser.add_argument(
        '--deterministic', action='store_true', help='the same numbers in every run, also on a GPU'
    )
    parser.add_argument(
        '--seeds', nargs='+', type=int, metavar='N', help='train once with each, into seed_N'
    )
    cli.add_launcher_argument(parser)
    cli.add_common_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says."""
    args = parse_arguments(argv)
    from mmseg_custom.engine.config import load_config
    from mmseg_custom.engine.launch import train
    from mmseg_custom.engine.seeds import train_seeds

    options = {
        key: value
        for key, value in vars(args).items()
        if key not in ('config', 'cfg_options', 'seeds', 'local_rank', 'traceback')
    }
    config = load_config(args.config, args.cfg_options)
    if args.seeds is None:
        train(config, **options)
    else:
        train_seeds(config, args.seeds, **options)


if __name__ == '__main__':
    cli.run(main)
