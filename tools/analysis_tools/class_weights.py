"""Class weights for a loss from a data set: ``class_weights.py CONFIG weights.json``."""

import argparse
import json
from pathlib import Path

from mmseg_custom import cli


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Weigh classes by the median of their frequencies over their own.'
    )
    parser.add_argument('config', help='path of a config, or its path below configs/')
    parser.add_argument('out', help='JSON file to write, a list with one weight per class')
    cli.add_common_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Count the training labels and write the weights."""
    args = parse_arguments(argv)
    from prettytable import PrettyTable

    from mmseg_custom.datasets.class_balance import (
        count_classes,
        label_maps,
        median_frequency_weights,
    )
    from mmseg_custom.engine.class_count import dataset_metainfo
    from mmseg_custom.engine.config import load_config
    from mmseg_custom.registry import register_all

    register_all()
    dataset = load_config(args.config, args.cfg_options).train_dataloader.dataset
    classes = dataset_metainfo(dataset)['classes']
    pixels, present = count_classes(label_maps(dataset), len(classes))
    weights = median_frequency_weights(pixels, present)
    table = PrettyTable(['Class', 'Pixels', 'Weight'], align='r')
    for row in zip(classes, pixels.tolist(), weights):
        table.add_row(row)
    print(table)
    Path(args.out).write_text(f'{json.dumps(weights)}\n', encoding='utf-8')
    print(f'use them with: --cfg-options model.decode_head.loss_decode.class_weight={args.out}')


if __name__ == '__main__':
    cli.run(main)
