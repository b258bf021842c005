"""What a checkpoint holds beside weights, optimizer and schedules so that a run continues exactly.

``checkpoint['run_state']`` and the log buffers are plain numbers, strings, lists, dicts and
tensors, which ``torch.load(weights_only=True)`` opens without help.
"""

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import EMAHook
from mmengine.logging import HistoryBuffer

from mmseg_custom.engine.generators import generator_states, restore_generators, seed_generators

BUFFER = 'log_history'


def all_generator_states() -> list[dict]:
    """The generators of every process, in the order of ranks; every process has to call it."""
    return all_gather_object(generator_states())


def continue_generators(saved: list[dict], seed: int, iteration: int) -> bool:
    """Set the generators of this process to those of its rank.

    Args:
        saved: what :func:`all_generator_states` returned.
        seed: of the run.
        iteration: that the run continues after.

    Returns:
        False where the checkpoint has another number of processes: the generators are seeded anew,
        from the seed, the iteration and the rank.
    """
    if len(saved) == get_world_size():
        restore_generators(saved[get_rank()])
        return True
    seed_generators(seed, iteration, get_rank())
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(torch.initial_seed())
    return False


def plain_message_hub(state: dict) -> dict:
    """Turn the log buffers of a message hub's state into tensors, and NumPy's scalars into numbers.

    Args:
        state: ``MessageHub.state_dict()``.

    Returns:
        A new dict of the same keys.
    """
    scalars = {}
    for name, buffer in state['log_scalars'].items():
        values, counts = buffer.data
        scalars[name] = {
            BUFFER: torch.tensor(values, dtype=torch.float64),
            'count_history': torch.tensor(counts, dtype=torch.float64),
            'max_length': buffer.max_length,
        }
    info = {name: _plain(value) for name, value in state['runtime_info'].items()}
    return {
        'log_scalars': scalars,
        'runtime_info': info,
        'resumed_keys': dict(state['resumed_keys']),
    }


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value)
    # NumPy's scalars, which are no plain numbers for torch.load.
    return (
        value.item() if hasattr(value, 'dtype') and getattr(value, 'shape', None) == () else value
    )


def message_hub_state(plain: dict) -> dict:
    """Undo :func:`plain_message_hub`; what mmengine saved itself is returned as it is."""
    scalars = {
        name: HistoryBuffer(
            buffer[BUFFER].cpu().numpy(),
            buffer['count_history'].cpu().numpy(),
            buffer['max_length'],
        )
        if isinstance(buffer, dict) and BUFFER in buffer
        else buffer
        for name, buffer in plain['log_scalars'].items()
    }
    return {**plain, 'log_scalars': scalars}


def check_resumable(checkpoint: dict, filename: str, hooks: list) -> None:
    """Raise unless a run of these hooks can be resumed from a checkpoint.

    Args:
        checkpoint: what the file holds.
        filename: what the message calls it.
        hooks: of the run.

    Raises:
        ValueError: the checkpoint holds weights only, or no moving average where the run keeps one.
    """
    meta = checkpoint.get('meta') or {}
    missing = [key for key in ('optimizer', 'message_hub') if key not in checkpoint]
    missing += [f'meta.{key}' for key in ('epoch', 'iter') if key not in meta]
    if missing:
        raise ValueError(
            f'{filename} holds weights only ({", ".join(missing)} missing), a run cannot be '
            'resumed from it; start a new one from these weights with '
            f'--cfg-options load_from={filename}'
        )
    if 'ema_state_dict' not in checkpoint and any(isinstance(hook, EMAHook) for hook in hooks):
        raise ValueError(
            f'{filename} holds no moving average (ema_state_dict), but the config has an EMAHook; '
            'resume with the hooks it was trained with, or start a new run from its weights with '
            f'--cfg-options load_from={filename}'
        )


def check_optimizer(optimizer: torch.optim.Optimizer, filename: str) -> None:
    """Raise unless the state that an optimizer was given is one of its kind.

    Args:
        optimizer: after loading.
        filename: what the message calls the checkpoint.

    Raises:
        ValueError: the groups of parameters lack what this optimizer needs; torch finds out in the
            first step only.
    """
    missing = sorted(optimizer.defaults.keys() - optimizer.param_groups[0].keys())
    if missing:
        raise ValueError(
            f'{filename} was trained with another optimizer: {type(optimizer).__name__} needs '
            f'{", ".join(missing)}, which its state does not have; resume with the optim_wrapper '
            'it was trained with, or start a new run from its weights with '
            f'--cfg-options load_from={filename}'
        )
