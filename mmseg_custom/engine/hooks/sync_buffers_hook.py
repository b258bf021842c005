"""The same batch norm in every process of a data parallel training."""

from mmengine.dist import all_reduce_params
from mmengine.hooks import Hook
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from mmseg_custom.registry import HOOKS


@HOOKS.register_module()
class SyncBuffersHook(Hook):
    """Average the running statistics of norm layers over all processes after each iteration.

    Each process sees other pictures, and mmengine switches off the broadcast of buffers that data
    parallel training brings, so every process would validate a model of its own and the first
    one's would be saved. SyncBN needs no help, but on a CPU it is a plain batch norm
    (:mod:`mmseg_custom.compat`).

    mmengine's hook of this name averages before a validation only, after the checkpoint of that
    iteration is written. Running statistics are linear in what the batches contribute: averaging
    them often gives the same as averaging them once. Other buffers are left alone: constants would
    gather rounding errors.
    """

    # Before every hook that saves the model or keeps an average of it.
    priority = 'ABOVE_NORMAL'

    def before_train(self, runner) -> None:
        """Find the statistics."""
        self._statistics = [
            buffer
            for module in runner.model.modules()
            if isinstance(module, _NormBase) and not isinstance(module, nn.SyncBatchNorm)
            if module.training  # else it is frozen
            for buffer in module.buffers(recurse=False)
            if buffer.is_floating_point()
        ]

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Average them; without other processes nothing happens."""
        all_reduce_params(self._statistics, op='mean')
