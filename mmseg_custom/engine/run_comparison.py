"""Whether two runs computed the same, bit by bit."""

import os
from pathlib import Path

import torch

from mmseg_custom.engine.run_log import computed, read_run_log

# The rest of a checkpoint holds paths and measured times.
COMPARED = ('state_dict', 'optimizer', 'param_schedulers', 'run_state', 'ema_state_dict')


def outcome(work_dir: str | os.PathLike, checkpoint: str) -> tuple[dict, list[dict]]:
    """Read what a run computed.

    Args:
        work_dir: of the run.
        checkpoint: name of its last checkpoint.

    Returns:
        Every tensor and number of the checkpoint by dotted name, and the log without measured
        times.
    """
    saved = torch.load(Path(work_dir, checkpoint), weights_only=True, map_location='cpu')
    state = {key: saved[key] for key in COMPARED if key in saved}
    return _flat(state), computed(read_run_log(work_dir))


def _flat(value, name: str = '') -> dict:
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return {name.lstrip('.'): value}
    return {k: v for key, item in items for k, v in _flat(item, f'{name}.{key}').items()}


def differences(found: tuple[dict, list[dict]], wanted: tuple[dict, list[dict]]) -> list[str]:
    """Name everything in which one :func:`outcome` is not the other.

    Returns:
        Names of tensors and numbers, and the numbers of log lines; nothing where all are equal.
    """
    (state, log), (wanted_state, wanted_log) = found, wanted
    names = [
        name
        for name in sorted({*state, *wanted_state})
        if name not in state
        or name not in wanted_state
        or not _equal(state[name], wanted_state[name])
    ]
    lines = [
        f'log line {number + 1}'
        for number in range(max(len(log), len(wanted_log)))
        if log[number : number + 1] != wanted_log[number : number + 1]
    ]
    return names + lines


def _equal(one, other) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return type(one) is type(other) and one == other
