"""NVlabs' MiT or SegFormer to our names: ``python tools/model_converters/mit2mmseg.py SRC DST``.

A file with a decoder becomes a whole segmentor, one without a backbone.
"""

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Convert as the command line says."""
    cli.convert(argv, 'NVlabs', 'path or link of the .pth file of NVlabs')


if __name__ == '__main__':
    cli.run(main)
