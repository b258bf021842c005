"""Hugging Face's SegFormer to our names: ``python tools/model_converters/hf2mmseg.py SRC DST.pth``.

SRC is a folder of ``save_pretrained`` or of the hub, or its ``model.safetensors`` or
``pytorch_model.bin`` beside ``config.json`` and ``preprocessor_config.json``.
"""

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Convert as the command line says."""
    cli.convert(argv, 'Hugging Face', 'folder or file of the weights', keep_classifier=True)


if __name__ == '__main__':
    cli.run(main)
