"""Look at a data set before and after augmentation: ``browse_dataset.py CONFIG_OR_FOLDER``.

Shows the first samples that a training with the seed sees, as its network gets them, in one PNG or
one HTML page.
"""

import argparse
from pathlib import Path

from mmseg_custom import cli


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Draw samples before and after augmentation.')
    parser.add_argument(
        'source', metavar='CONFIG_OR_FOLDER', help='a config, or a folder with images and masks'
    )
    parser.add_argument('--out', default='browse.png', help='.png or .html; default browse.png')
    parser.add_argument('--num', type=int, default=16, help='number of samples; default 16')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train')
    parser.add_argument('--seed', type=int, default=0, help='of the training; default 0')
    cli.add_common_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Load the samples and write the file."""
    args = parse_arguments(argv)
    out = Path(args.out)
    if out.suffix not in ('.png', '.html'):
        raise ValueError(f'--out {out}: expected a name that ends in .png or .html')
    from mmseg_custom.datasets.inspection.sources import folder_config
    from mmseg_custom.engine.browsing import browse
    from mmseg_custom.engine.config import load_config
    from mmseg_custom.visualization.browsing import draw_grid, html_page
    from mmseg_custom.visualization.rendering import write_image
    from mmseg_custom.writing import check_writable, write_atomically

    options = args.cfg_options or []
    if Path(args.source).is_dir():
        config = load_config(folder_config(args.source), [f'data_root={args.source}', *options])
    else:
        config = load_config(args.source, options)
    check_writable(out.parent, '--out')
    samples, facts = browse(config, args.split, args.num, args.seed)
    title = f'{facts["name"]}: {len(samples)} of {facts["size"]} samples, seed {args.seed}'
    if out.suffix == '.png':
        write_image(out, draw_grid(samples, facts['classes'], facts['palette'], title))
    else:
        page = html_page(samples, facts['classes'], facts['palette'], title)
        write_atomically(out, page.encode('utf-8'))
    print(f'{len(samples)} samples are in {out}')


if __name__ == '__main__':
    cli.run(main)
