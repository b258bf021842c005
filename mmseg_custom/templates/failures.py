"""Why a training ended, in one line."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

STOPPED = 'stopped by user'
BYTES_READ = 2**16
ERROR = 'error: '


def explain(status: int, log: Path, stop_asked: bool) -> str:
    """Say why a training ended.

    Args:
        status: of its process, as ``subprocess`` has it: negative numbers are signals.
        log: what it printed.
        stop_asked: whether the user asked it to stop.
    """
    if stop_asked:
        return STOPPED
    if status == os.EX_TEMPFAIL:
        return 'stopped by a signal from elsewhere, after a checkpoint'
    if status < 0:
        name = _signal_name(-status)
        hint = ': by kill -9, or because the main memory was full' if name == 'SIGKILL' else ''
        return f'killed by {name}{hint}'
    return _last_error(last_lines(log))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f'signal {number}'


def last_lines(path: Path) -> list[str]:
    """Lines of the end of a text file with their line ends; none where there is no file."""
    if not path.is_file():
        return []
    with open(path, 'rb') as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - BYTES_READ))
        lines = file.read().decode(errors='replace').splitlines(keepends=True)
    return lines if size <= BYTES_READ else lines[1:]


def _last_error(lines: Sequence[str]) -> str:
    """What a tool of ours printed as error, else the last line, which ends a traceback."""
    lines = [line.strip() for line in lines if line.strip()]
    errors = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
    return (errors or lines or ['it ended without a word'])[-1]
