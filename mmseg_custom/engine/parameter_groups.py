"""Which learning rate and weight decay each parameter has, and patterns that reach none."""

from collections.abc import Iterable

from mmengine.config import Config
from torch import nn
from torch.optim import Optimizer

from mmseg_custom.messages import did_you_mean
from mmseg_custom.registry import SCOPE


def group_table(optimizer: Optimizer, model: nn.Module) -> str:
    """List the parameters by learning rate and weight decay, in the order of the model.

    Args:
        optimizer: its groups' ``initial_lr``, which a schedule leaves alone, else their ``lr``.
        model: names the parameters; what no group holds, or has no gradient, is listed as frozen.

    Returns:
        A line of headings and one line for each pair, with an example.
    """
    settings = {
        parameter: setting
        for group, setting in zip(optimizer.param_groups, settings_of(optimizer), strict=True)
        for parameter in group['params']
        if parameter.requires_grad
    }
    rows: dict[tuple, list] = {}
    for name, parameter in model.named_parameters():
        row = rows.setdefault(settings.get(parameter, ('frozen', '')), [0, 0, name])
        row[0] += 1
        row[1] += parameter.numel()
    lines = [f'{"lr":>10} {"decay":>8} {"tensors":>8} {"parameters":>12}  for example']
    for (rate, decay), (tensors, count, name) in rows.items():
        lines.append(f'{_text(rate):>10} {_text(decay):>8} {tensors:>8} {count:>12,}  {name}')
    return '\n'.join(lines)


def settings_of(optimizer: Optimizer) -> list[tuple]:
    """Learning rate, before any schedule, and weight decay of each group."""
    return [
        (group.get('initial_lr', group.get('lr')), group.get('weight_decay'))
        for group in optimizer.param_groups
    ]


def _text(value: float | str | None) -> str:
    return value if isinstance(value, str) else '-' if value is None else f'{float(value):.4g}'


def is_written_for_us(config: Config) -> bool:
    """Whether a config was written for this project: its ``custom_imports`` name the package.

    A config of MMSegmentation does not, also where ``--cfg-options default_scope=mmseg_custom``
    lets it use our classes.
    """
    imports = (config.get('custom_imports') or {}).get('imports') or []
    return any(f'{name}.'.startswith(f'{SCOPE}.') for name in imports)


def unmatched_keys(config: Config, names: Iterable[str]) -> str | None:
    """Name the patterns of ``paramwise_cfg.custom_keys`` that are in no parameter's name.

    Args:
        config: of the run.
        names: of all parameters.

    Returns:
        One line with the nearest names; ``None`` where every pattern reaches a parameter.
    """
    paramwise = (config.get('optim_wrapper') or {}).get('paramwise_cfg') or {}
    # mmengine joins the names with dots, also that of a parameter of the model itself.
    known = [name if '.' in name else f'.{name}' for name in names]
    found = [
        f"'{key}'{_nearest(key, known)}"
        for key in paramwise.get('custom_keys') or {}
        if not any(key in name for name in known)
    ]
    if not found:
        return None
    return (
        f'optim_wrapper.paramwise_cfg.custom_keys: no parameter has {"; ".join(found)} in its '
        f'name (names are like {known[0]}); correct it, or leave all out with '
        'optim_wrapper.paramwise_cfg=None'
    )


def _nearest(key: str, names: list[str]) -> str:
    """The parts of parameters' names, as long as the pattern, that are spelled like it."""
    length = key.strip('.').count('.') + 1
    parts = {
        '.'.join(words[first : first + length])
        for words in (name.strip('.').split('.') for name in names)
        for first in range(len(words) - length + 1)
    }
    hint = did_you_mean(key, sorted(parts), 3)
    return f' ({hint})' if hint else ''
