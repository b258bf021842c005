"""How far a training is, from its own log."""

from pathlib import Path

from mmseg_custom.engine.run_log import read_run_log

RECENT = 5


def progress(training: Path, iterations: int) -> tuple[float, float | None]:
    """Percent done and seconds left.

    Args:
        training: its work folder.
        iterations: of the whole run.

    Returns:
        0 to 100; and the time of the remaining iterations at the pace of the last log lines,
        validations left out, or None before the first line.
    """
    records = [record for record in read_run_log(training) if record['mode'] == 'train']
    if not records:
        return 0.0, None
    done = min(records[-1]['step'], iterations)
    recent = [record['time'] for record in records[-RECENT:] if 'time' in record]
    left = (iterations - done) * sum(recent) / len(recent) if recent else None
    return 100.0 * done / max(iterations, 1), left
