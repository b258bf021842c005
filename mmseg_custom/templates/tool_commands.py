"""The words that start a tool of the project in a process of its own."""

import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def tool_command(name: str) -> list[str]:
    """Start of the command line of a tool, in a checkout or without one.

    Args:
        name: below ``tools``, without its suffix, e.g. ``deployment/export_onnx``.

    Raises:
        FileNotFoundError: the checkout has no such tool.
    """
    if not (TOOLS / 'segmenter.py').is_file():
        return [sys.executable, '-m', f'mmseg_custom.tools.{name.replace("/", ".")}']
    path = TOOLS / f'{name}.py'
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; update mmseg_custom')
    return [sys.executable, str(path)]
