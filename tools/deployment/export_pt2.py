"""Export a model for PyTorch alone: ``export_pt2.py MODEL [CHECKPOINT] OUT.pt2``.

Exit status: 0; 1 when the file does not predict what the model does, which is then not written; 2
for a mistake in the call.
"""

import argparse

from mmseg_custom import cli


def main(argv: list[str] | None = None) -> None:
    """Export as the command line says."""
    parser = argparse.ArgumentParser(description='Write a torch.export program, and compare it.')
    cli.add_export_arguments(parser, 'OUT.pt2')
    args = parser.parse_intermixed_args(argv)
    from mmseg_custom.deployment.checked_file import exit_if_different, wanted_file
    from mmseg_custom.deployment.parity_pictures import Source
    from mmseg_custom.deployment.torch_export import SUFFIX, export_pt2

    with exit_if_different():
        export_pt2(Source.of(args), wanted_file(args, SUFFIX))


if __name__ == '__main__':
    cli.run(main)
