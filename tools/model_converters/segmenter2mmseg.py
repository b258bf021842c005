"""rstrudel's Segmenter to our names: ``python tools/model_converters/segmenter2mmseg.py SRC DST``.

``variant.yml`` must lie beside ``checkpoint.pth``.
"""

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Convert as the command line says."""
    cli.convert(argv, 'rstrudel', 'checkpoint.pth, or its folder')


if __name__ == '__main__':
    cli.run(main)
