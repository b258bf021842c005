"""Our SegFormer to Hugging Face: ``python tools/model_converters/mmseg2hf.py SRC.pth DST_FOLDER``.

The folder opens with ``SegformerForSemanticSegmentation.from_pretrained``, a classifier's with
``SegformerForImageClassification``. The options are for what the checkpoint does not say.
"""

import argparse

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Convert as the command line says."""
    parser = argparse.ArgumentParser(description='Write a folder for transformers.')
    parser.add_argument('src', help='checkpoint of MiT with SegformerMLPHead or a classifier')
    parser.add_argument('dst', help='new folder')
    numbers = dict(type=float, nargs='+', metavar='NUMBER')
    parser.add_argument('--mean', help='of RGB pixels in 0..255', **numbers)
    parser.add_argument('--std', help='of RGB pixels in 0..255', **numbers)
    parser.add_argument(
        '--reduce-zero-label',
        choices=['True', 'False'],
        help='whether label 0 is ignored and the others count from 1, as in ADE20K',
    )
    parser.add_argument(
        '--image-size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='to which pictures are resized',
    )
    cli.add_traceback_argument(parser)
    args = parser.parse_args(argv)
    from mmseg_custom.checkpoints.to_huggingface import write_huggingface

    reduce_labels = args.reduce_zero_label and args.reduce_zero_label == 'True'
    lines = write_huggingface(
        args.src,
        args.dst,
        mean=args.mean,
        std=args.std,
        image_size=args.image_size,
        reduce_labels=reduce_labels,
    )
    for line in lines:
        print(line)
    print(f'{args.dst} holds config.json, model.safetensors and preprocessor_config.json')


if __name__ == '__main__':
    cli.run(main)
