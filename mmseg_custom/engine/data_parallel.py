"""Data parallel training that names the parameters without a gradient."""

import inspect

from mmengine.model import MMDistributedDataParallel
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mmseg_custom.registry import MODEL_WRAPPERS

# Whether the first process's buffers are sent in each iteration; torch 2.13 gave it another name.
_BUFFERS = 'forward_sync_buffers'
if _BUFFERS not in inspect.signature(DistributedDataParallel).parameters:
    _BUFFERS = 'broadcast_buffers'


@MODEL_WRAPPERS.register_module()
class DataParallel(MMDistributedDataParallel):
    """mmengine's wrapper with gradients that live in the buckets they are reduced in.

    A parameter without a gradient is named in the first iteration; PyTorch ends the second one with
    its number.

    Args:
        module: the model.
        gradient_as_bucket_view: saves a copy of all gradients, in memory and in time.
        **kwargs: of mmengine's wrapper and ``torch.nn.parallel.DistributedDataParallel``, e.g.
            ``static_graph=True``.
    """

    def __init__(
        self,
        module: nn.Module,
        gradient_as_bucket_view: bool = True,
        **kwargs,
    ) -> None:
        if 'broadcast_buffers' not in kwargs:
            kwargs.setdefault(_BUFFERS, False)
        super().__init__(module, gradient_as_bucket_view=gradient_as_bucket_view, **kwargs)
        self._checked = self.find_unused_parameters or self.static_graph

    def train_step(self, data, optim_wrapper) -> dict[str, Tensor]:
        """Train one batch; see mmengine.

        Raises:
            ValueError: in the first iteration, parameters that got no gradient; accumulation with
                a static graph, where PyTorch ends in an assertion of its own.
        """
        if self.static_graph and getattr(optim_wrapper, '_accumulative_counts', 1) > 1:
            raise ValueError(
                'model_wrapper_cfg.static_graph=True does not work with '
                'optim_wrapper.accumulative_counts > 1; leave one out'
            )
        if self._checked:
            return super().train_step(data, optim_wrapper)
        self._checked = True
        trained = {p: name for name, p in self.module.named_parameters() if p.requires_grad}
        used: set[nn.Parameter] = set()
        watchers = [p.register_post_accumulate_grad_hook(used.add) for p in trained]
        outputs = super().train_step(data, optim_wrapper)
        for watcher in watchers:
            watcher.remove()
        names = [name for parameter, name in trained.items() if parameter not in used]
        if names:
            more = f' and {len(names) - 8} more' if len(names) > 8 else ''
            raise ValueError(
                f'{len(names)} parameter(s) got no gradient: {", ".join(names[:8])}{more}; remove '
                'or freeze (freeze="[NAME]") what the loss does not use, or set '
                'find_unused_parameters=True, which costs time in every iteration'
            )
        return outputs
