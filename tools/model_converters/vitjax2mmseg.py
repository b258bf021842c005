"""AugReg's ViT to our names: ``python tools/model_converters/vitjax2mmseg.py SRC DST``.

Depth, width, heads and patch size come from the arrays, whatever the file is called.
"""

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Convert as the command line says."""
    cli.convert(argv, 'AugReg', 'path or link of the .npz file')


if __name__ == '__main__':
    cli.run(main)
