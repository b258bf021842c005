"""Half precision by name."""

import torch

HALF_DTYPES = {'bfloat16': torch.bfloat16, 'float16': torch.float16}


def preferred_dtype(device_type: str) -> torch.dtype:
    """bfloat16; float16 on a GPU that only emulates bfloat16, many times slower."""
    if device_type == 'cuda' and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


def half_dtype(name: str | torch.dtype, device_type: str, key: str) -> torch.dtype:
    """Look up a precision.

    Args:
        name: ``'auto'`` for :func:`preferred_dtype`, a key of ``HALF_DTYPES``, or what it names.
        device_type: ``cpu``, ``cuda`` ...
        key: of the config that holds the name, for the message.

    Raises:
        ValueError: there is no such half precision.
    """
    dtype = preferred_dtype(device_type) if name == 'auto' else HALF_DTYPES.get(name, name)
    if dtype not in HALF_DTYPES.values():
        raise ValueError(
            f'{key}={name!r}, expected bfloat16, float16 or auto; for float32 leave it out'
        )
    return dtype
