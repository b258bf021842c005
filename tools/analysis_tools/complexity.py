"""Parameters, FLOPs and latency of a model: ``complexity.py CONFIG [--size H W] [--latency]``."""

import argparse

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Count, and time where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='path of a config, or its path below configs/')
    parser.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'), help='default: crop_size')
    parser.add_argument('--latency', action='store_true', help='also time the stages')
    parser.add_argument('--batch-size', type=int, default=1, help='of the timing; default 1')
    parser.add_argument('--device', help='of the timing; default: a GPU if there is one')
    cli.add_common_arguments(parser)
    args = parser.parse_args(argv)
    from mmseg_custom.benchmark.complexity import (
        build_model,
        count_parts,
        format_parts,
        time_stages,
    )
    from mmseg_custom.engine.config import load_config
    from mmseg_custom.inference.predictor import choose_device

    config = load_config(args.config, args.cfg_options)
    size = tuple(args.size or config.get('crop_size') or (512, 512))
    model = build_model(config)
    counted, timed = count_parts(model, size), []
    if args.latency:
        model.to(choose_device(args.device))
        timed = time_stages(model, size, args.batch_size)
    print(f'{args.config}: one picture of {size[0]}x{size[1]}\n{format_parts(counted, timed)}')


if __name__ == '__main__':
    cli.run(main)
