"""Whether a process that was started earlier is still the same one and alive."""

import os
import subprocess
from pathlib import Path

DEAD_STATES = ('Z', 'X')


def identity(pid: int) -> str | None:
    """Text that no other process of this machine ever has; None where there is none alive.

    A number alone is given again to another process; with the moment of its start, and with the
    start of the machine, it is not.

    Args:
        pid: number of the process.
    """
    if Path('/proc/self/stat').exists():
        try:
            # The name, in parentheses, may hold anything.
            fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, start = fields[0], fields[19]
        boot = Path('/proc/sys/kernel/random/boot_id').read_text().strip()
        return None if state in DEAD_STATES else f'{pid} {start} {boot}'
    command = ['ps', '-o', 'state=,lstart=', '-p', str(pid)]
    found = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    if not found or found.startswith(DEAD_STATES):
        return None
    return f'{pid} {found.partition(" ")[2].strip()}'


def is_alive(process: str | None) -> bool:
    """Whether the process of an :func:`identity` runs; False for None."""
    return process is not None and identity(pid_of(process)) == process


def pid_of(process: str) -> int:
    """The number in an :func:`identity`."""
    return int(process.partition(' ')[0])


def send(process: str, signal_number: int) -> bool:
    """Send a signal to the process of an :func:`identity`; return whether it was there."""
    if not is_alive(process):
        return False
    try:
        os.kill(pid_of(process), signal_number)
    except ProcessLookupError:
        return False
    return True
