"""Automatic mixed precision on GPUs and CPUs."""

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper as BaseAmpOptimWrapper
from mmengine.optim import OptimWrapper

from mmseg_custom.registry import OPTIM_WRAPPERS

_DTYPES = {'bfloat16': torch.bfloat16, 'float16': torch.float16}


def preferred_dtype(device: str) -> torch.dtype:
    """bfloat16; float16 on a GPU that only emulates bfloat16, many times slower."""
    if device == 'cuda' and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(BaseAmpOptimWrapper):
    """mmengine's wrapper that prefers bfloat16, which needs no loss scaling and runs on CPUs too.

    Args:
        loss_scale: ``'dynamic'``, a number or arguments of ``torch.amp.GradScaler``; float16 only.
        dtype: ``'bfloat16'`` or ``'float16'``; default: :func:`preferred_dtype`.
        kwargs: arguments of mmengine's ``OptimWrapper``.

    Raises:
        ValueError: another ``dtype``, or float16 without a GPU.
    """

    def __init__(
        self,
        loss_scale: str | float | dict = 'dynamic',
        dtype: str | torch.dtype | None = None,
        **kwargs,
    ) -> None:
        device = get_device()
        if dtype is None:
            dtype = preferred_dtype(device)
        dtype = _DTYPES.get(dtype, dtype)
        if dtype not in _DTYPES.values():
            raise ValueError(
                f'optim_wrapper.dtype={dtype!r}, expected bfloat16 or float16; for float32 use '
                "optim_wrapper.type='OptimWrapper'"
            )
        if dtype == torch.float16:
            if device == 'cpu':
                raise ValueError(
                    'float16 training needs a GPU; set optim_wrapper.dtype=bfloat16 on a CPU'
                )
            super().__init__(loss_scale=loss_scale, dtype=dtype, **kwargs)
            return
        OptimWrapper.__init__(self, **kwargs)
        self._scale_update_param = None
        self.loss_scaler = torch.amp.GradScaler(device, enabled=False)
        self.cast_dtype = dtype
