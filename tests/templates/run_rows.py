"""Runs in the registry without the processes that would have written them."""

import json
import time

from mmseg_custom.templates.runs import Runs


def add(runs: Runs, status: str, worker=None, trainer=None, steps=(), **columns) -> str:
    """Write a run as it is left by its processes; return its id."""
    count = len(runs.list()) + 1
    values = dict(app='a', model='m', template='t', dataset='d', version='v', device='cpu')
    values |= dict(iterations=40, status=status, turn=count, queued=time.time())
    values |= dict(worker=worker, trainer=trainer, **columns)
    names, marks = ', '.join(values), ', '.join('?' * len(values))
    runs.records.registry.change(
        f'INSERT INTO runs ({names}) VALUES ({marks})', (*values.values(),)
    )
    run = runs.list()[0]
    run.training.mkdir(parents=True)
    lines = [json.dumps(dict(mode='train', step=step, time=0.5)) for step in steps]
    run.training_log.write_text(''.join(f'{line}\n' for line in lines))
    return run.id
