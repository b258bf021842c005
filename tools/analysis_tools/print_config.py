"""Print the resolved config: ``python tools/analysis_tools/print_config.py CONFIG``."""

import argparse

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Print what the runner would get."""
    parser = argparse.ArgumentParser(description='Print a config with all its bases resolved.')
    parser.add_argument('config', help='path of a config, or its path below configs/')
    cli.add_common_arguments(parser)
    args = parser.parse_args(argv)
    from mmseg_custom.engine.config import load_config

    print(load_config(args.config, args.cfg_options).pretty_text)


if __name__ == '__main__':
    cli.run(main)
