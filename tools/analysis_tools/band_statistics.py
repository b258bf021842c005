"""Mean and standard deviation of each band: ``band_statistics.py CONFIG_OR_FOLDER``."""

import argparse
import sys
from pathlib import Path

from mmseg_custom import cli


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Measure the bands of all training pictures.')
    parser.add_argument('source', metavar='CONFIG_OR_FOLDER', help='a config, or a data set folder')
    parser.add_argument('--split', default='train', help='of a folder, default train')
    parser.add_argument(
        '--labelled-only', action='store_true', help='leave out pixels whose label is ignored'
    )
    parser.add_argument(
        '--write', action='store_true', help="add mean and std to the folder's dataset.yaml"
    )
    cli.add_common_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure and print the lines to paste."""
    args = parse_arguments(argv)
    from prettytable import PrettyTable

    from mmseg_custom.datasets.band_statistics import (
        folder_config,
        measure_bands,
        rounded,
        write_statistics,
    )
    from mmseg_custom.engine.class_count import dataset_metainfo
    from mmseg_custom.engine.config import load_config
    from mmseg_custom.registry import register_all

    register_all()
    config = None if Path(args.source).is_dir() else load_config(args.source, args.cfg_options)
    if config is None:
        dataset = folder_config(args.source, args.split, args.labelled_only)
    else:
        dataset = config.train_dataloader.dataset
    statistics = measure_bands(dataset, args.labelled_only, _show_progress)
    if config is not None and config.model.data_preprocessor.get('bgr_to_rgb'):
        statistics = statistics.reversed()
    names = dataset_metainfo(dataset).get('bands') or range(len(statistics.mean))
    table = PrettyTable(['Band', 'Mean', 'Std', 'Minimum', 'Maximum'], align='r')
    values = (statistics.mean, statistics.std, statistics.minimum, statistics.maximum)
    for row in zip(names, *map(rounded, values), strict=True):
        table.add_row(row)
    print(table)
    mean, std = rounded(statistics.mean), rounded(statistics.std)
    print(f'{statistics.count} pixels. Lines for dataset.yaml:\nmean: {mean}\nstd: {std}')
    print(f'or for a config:\ndata_preprocessor = dict(mean={mean}, std={std})')
    if args.write:
        print(f'written to {write_statistics(dataset["data_root"], statistics)}')


def _show_progress(done: int, count: int) -> None:
    if sys.stderr.isatty():
        print(f'\r{done} of {count} pictures', end='\n' * (done == count), file=sys.stderr)


if __name__ == '__main__':
    cli.run(main)
