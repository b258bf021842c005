"""Parts of a model that a training leaves as they are."""

import types
from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from mmseg_custom.messages import did_you_mean


def freeze(model: nn.Module, patterns: Sequence[str] | str) -> str:
    """Take parameters out of the training, and keep modules that are frozen as a whole in eval.

    Such a module's normalisation does not follow the batches and its dropout is off, whatever
    ``train()`` is called with on it or on what contains it.

    Args:
        model: changed in place, before it is wrapped for several processes.
        patterns: names of parameters, or of modules, of which everything below is meant; ``*``
            stands for any characters.

    Returns:
        What is frozen, for the log.

    Raises:
        ValueError: these are no names, one matches no parameter, or nothing is left to train.
    """
    patterns = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(patterns, Sequence) or not all(isinstance(name, str) for name in patterns):
        raise ValueError(f'freeze={patterns!r}; expected names, e.g. "freeze=[backbone.*]"')
    parameters = dict(model.named_parameters())
    frozen = set()
    for pattern in patterns:
        found = {name for name in parameters if matches(name, pattern)}
        if not found:
            hint = _nearest(model, pattern)
            raise ValueError(f"freeze: '{pattern}' matches no parameter; {hint}")
        frozen |= found
    if len(frozen) == len(parameters):
        raise ValueError(
            f'freeze={patterns} leaves nothing to train; leave out a part, e.g. the decode head'
        )
    for name in frozen:
        parameters[name].requires_grad_(False)
    whole = _frozen_modules(model, frozen)
    for name in whole:
        module = model.get_submodule(name)
        module.train = types.MethodType(_stay_in_eval, module)
        module.eval()
    values = sum(parameters[name].numel() for name in frozen)
    total = sum(parameter.numel() for parameter in parameters.values())
    return (
        f'frozen: {len(frozen)} of {len(parameters)} parameter tensors, {values / 1e6:.2f} of '
        f'{total / 1e6:.2f} million values; in eval mode: {", ".join(whole) or "no module"}'
    )


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern means a parameter: its name, or that of a module it lies in."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f'{pattern}.*')


def _frozen_modules(model: nn.Module, frozen: set[str]) -> list[str]:
    """Names of the outermost modules that have parameters and whose parameters are all frozen."""
    found: list[str] = []
    for name, module in model.named_modules():
        inside = {f'{name}.{key}' for key, _ in module.named_parameters()}
        below = any(name.startswith(f'{outer}.') for outer in found)
        if inside and inside <= frozen and not below:
            found.append(name)
    return found


def _stay_in_eval(module: nn.Module, mode: bool = True) -> nn.Module:
    """``train`` of a frozen module."""
    return nn.Module.train(module, False)


def _nearest(model: nn.Module, pattern: str) -> str:
    names = {name for name, _ in model.named_modules() if name}
    names |= {name for name, _ in model.named_parameters()}
    hint = did_you_mean(pattern.rstrip('.*'), names, 3)
    return hint or f'the parts of this model are {", ".join(k for k, _ in model.named_children())}'
