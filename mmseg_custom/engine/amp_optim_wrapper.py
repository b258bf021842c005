"""Automatic mixed precision on GPUs and CPUs."""

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper as BaseAmpOptimWrapper
from mmengine.optim import OptimWrapper

from mmseg_custom.precision import half_dtype
from mmseg_custom.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(BaseAmpOptimWrapper):
    """mmengine's wrapper that prefers bfloat16, which needs no loss scaling and runs on CPUs too.

    Args:
        loss_scale: ``'dynamic'``, a number or arguments of ``torch.amp.GradScaler``; float16 only.
        dtype: ``'bfloat16'``, ``'float16'`` or ``'auto'``: what the device does well.
        kwargs: arguments of mmengine's ``OptimWrapper``.

    Raises:
        ValueError: another ``dtype``, or float16 without a GPU.
    """

    def __init__(
        self,
        loss_scale: str | float | dict = 'dynamic',
        dtype: str | torch.dtype = 'auto',
        **kwargs,
    ) -> None:
        device = get_device()
        dtype = half_dtype(dtype, device, 'optim_wrapper.dtype')
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
