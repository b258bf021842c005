"""How far a training is, from the end of its own log."""

import json
from pathlib import Path

from mmseg_custom.templates.failures import last_lines

RECENT = 5


def progress(log: Path, iterations: int) -> tuple[float, float | None]:
    """Percent done and seconds left.

    Args:
        log: of the training, a JSON object a line.
        iterations: of the whole run.

    Returns:
        0 to 100; and the time of the remaining iterations at the pace of the last lines,
        validations left out, or None before the first one.
    """
    lines = [line for line in last_lines(log) if line.endswith('\n')]
    records = [record for line in lines if (record := json.loads(line))['mode'] == 'train']
    if not records:
        return 0.0, None
    done = min(records[-1]['step'], iterations)
    recent = [record['time'] for record in records[-RECENT:] if 'time' in record]
    left = (iterations - done) * sum(recent) / len(recent) if recent else None
    return 100.0 * done / max(iterations, 1), left
