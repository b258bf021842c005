"""Class weights for a loss from a data set: ``class_weights.py CONFIG weights.json``."""

import argparse
import json
from pathlib import Path

from mmseg_custom import cli


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Weigh the classes of a training data set by how often they occur.'
    )
    parser.add_argument('config', help='path of a config, or its path below configs/')
    parser.add_argument('out', help='JSON file to write, a list with one weight per class')
    parser.add_argument(
        '--method',
        default='median_frequency',
        help='median_frequency (default), inverse_sqrt or log; see docs/data_mixing.md',
    )
    cli.add_common_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Count the training labels and write the weights."""
    args = parse_arguments(argv)
    from prettytable import PrettyTable

    from mmseg_custom.engine.class_count import dataset_metainfo
    from mmseg_custom.engine.config import load_config
    from mmseg_custom.registry import DATASETS, register_all

    register_all()
    dataset = load_config(args.config, args.cfg_options).train_dataloader.dataset
    if dataset_metainfo(dataset).get('task') == 'binary':
        raise ValueError(
            'task=binary takes no class weights; python tools/analysis_tools/check_dataset.py '
            f'{args.config} prints the foreground_prior for its head'
        )
    pixels = DATASETS.build(dict(type='ClassPixels', dataset=dataset))
    weights = pixels.weights(args.method)
    table = PrettyTable(['Class', 'Pixels', 'Weight'], align='r')
    for row in zip(pixels.classes, pixels.counts.sum(0).tolist(), weights):
        table.add_row(row)
    print(table)
    Path(args.out).write_text(f'{json.dumps(weights)}\n', encoding='utf-8')
    print(f'use them with: --cfg-options model.decode_head.loss_decode.class_weight={args.out}')


if __name__ == '__main__':
    cli.run(main)
