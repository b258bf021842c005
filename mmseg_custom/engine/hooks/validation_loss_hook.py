"""The loss on the validation set, from the predictions that are made there anyway."""

from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook

from mmseg_custom.engine.unwrapping import unwrap
from mmseg_custom.registry import HOOKS

VAL_LOSS = 'val/loss'


@HOOKS.register_module()
class ValidationLossHook(Hook):
    """Add ``val/loss`` to the metrics of each validation.

    It is the cross entropy of the decode head over all pixels of the validation set at the labels'
    resolution, with the head's class weights and smoothing, so what the training minimises but for
    augmentation, dropout, auxiliary heads and other losses (and, without ``avg_non_ignore``, the
    share of ignored pixels). One output channel has its binary cross entropy. A model whose head
    has no cross entropy, or that is not ours, gets none.

    Pictures that a distributed sampler repeats are left out.
    """

    # Before the metrics are logged, saved by, or stopped by.
    priority = 'HIGHEST'

    def before_val_epoch(self, runner) -> None:
        """Let the model measure."""
        self._sums = torch.zeros(2, dtype=torch.float64)
        self._num_pictures = 0
        unwrap(runner.model).measures_loss = True

    def after_val_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: Sequence | None = None
    ) -> None:
        """Add a batch."""
        for sample in outputs or ():
            position = runner.rank + self._num_pictures * runner.world_size
            self._num_pictures += 1
            if 'loss_terms' in sample and position < len(runner.val_dataloader.dataset):
                self._sums += sample.loss_terms.cpu().double()

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Put the mean into the metrics."""
        unwrap(runner.model).measures_loss = False
        all_reduce(self._sums, op='sum')
        loss, weight = self._sums.tolist()
        if metrics is not None and weight:
            metrics[VAL_LOSS] = loss / weight
