"""Our SegFormer to Hugging Face: ``python tools/model_converters/mmseg2hf.py SRC.pth DST_FOLDER``.

The folder opens with ``SegformerForSemanticSegmentation.from_pretrained``, a classifier's with
``SegformerForImageClassification``.
"""

import argparse

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Convert as the command line says."""
    parser = argparse.ArgumentParser(description='Write a folder for transformers.')
    parser.add_argument('src', help='checkpoint of MiT with SegformerMLPHead or a classifier')
    parser.add_argument('dst', help='new folder')
    cli.add_traceback_argument(parser)
    args = parser.parse_args(argv)
    from mmseg_custom.checkpoints.to_huggingface import write_huggingface

    for line in write_huggingface(args.src, args.dst):
        print(line)
    print(f'{args.dst} holds config.json, model.safetensors and preprocessor_config.json')


if __name__ == '__main__':
    cli.run(main)
