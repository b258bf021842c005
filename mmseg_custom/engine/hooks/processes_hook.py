"""What a training on several processes needs around its iterations."""

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook

from mmseg_custom.engine.sharding import is_sharded, keep_whole
from mmseg_custom.registry import HOOKS


@HOOKS.register_module()
class ProcessesHook(Hook):
    """Log the loss of the global batch, say how far this process is, and serve sharded models.

    mmengine logs the first process's loss alone. Our runner adds the hook to every training on
    several processes.
    """

    # Before mmengine's RuntimeInfoHook, which takes the losses over.
    priority = 'HIGHEST'

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Gradients that are only accumulated need not be reduced: DDP's context says so itself."""
        runner.watch.mark(f'in iteration {runner.iter + 1}')
        if is_sharded(runner.model):
            runner.model.set_requires_gradient_sync(runner.optim_wrapper.should_sync())

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Average what is logged over the processes, all values at once."""
        average(outputs or {})
        runner.watch.mark(f'after iteration {runner.iter + 1} (hooks, checkpoint, next batch)')

    def before_val(self, runner) -> None:
        """See :func:`mmseg_custom.engine.sharding.keep_whole`."""
        if is_sharded(runner.model):
            keep_whole(runner.model, True)

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Say how far a validation is."""
        if runner.watch is not None:
            runner.watch.mark(f'after batch {batch_idx + 1} of a validation')

    def after_val(self, runner) -> None:
        """Keep parts again."""
        if is_sharded(runner.model):
            keep_whole(runner.model, False)


def average(values: dict[str, torch.Tensor]) -> None:
    """Average the scalars of a dict over all processes, in place.

    Args:
        values: the same names in every process; what is no tensor of one number stays.
    """
    names = [
        name
        for name in sorted(values)
        if isinstance(values[name], torch.Tensor) and values[name].numel() == 1
    ]
    if not names or get_world_size() == 1:
        return
    stacked = torch.stack([values[name].detach().float().reshape(()) for name in names])
    all_reduce(stacked, op='mean')
    values.update(zip(names, stacked))
