"""``device`` of a config: where it trains, in place of mmengine's first GPU."""

import torch
from mmengine.device import utils

AUTO, CPU = 'auto', 'cpu'
_FOUND = utils.DEVICE


def check_device(name: str, precision: str = 'float32') -> None:
    """See whether this machine has a device.

    Args:
        name: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: what is computed in; ``float16`` needs a GPU.

    Raises:
        ValueError: it has none of this name, or the device does not do the precision.
    """
    count = torch.cuda.device_count()
    there = [AUTO, CPU, *(['cuda'] if count else []), *(f'cuda:{i}' for i in range(count))]
    if name not in there:
        raise ValueError(f"device is '{name}', but this machine has {', '.join(there)}; set one")
    if precision == 'float16' and (name == CPU or not count):
        raise ValueError(
            'precision float16 needs a GPU, but it trains on the CPU; set bfloat16 or float32'
        )


def use_device(name: str | None) -> None:
    """Let everything that mmengine puts somewhere in this process go to a device.

    Args:
        name: see :func:`check_device`; None is ``auto``, the first GPU or else the CPU.

    Raises:
        ValueError: this machine has none of this name.
    """
    name = name or AUTO
    check_device(name)
    utils.DEVICE = CPU if name == CPU else _FOUND
    if ':' in name:
        torch.cuda.set_device(name)
