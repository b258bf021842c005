"""Stop a training that no longer gets better."""

from mmengine.hooks import EarlyStoppingHook as BaseEarlyStoppingHook

from mmseg_custom.registry import HOOKS

STATE = 'early_stopping'


@HOOKS.register_module()
class EarlyStoppingHook(BaseEarlyStoppingHook):
    """mmengine's hook whose best score and count are part of the checkpoints.

    Args:
        monitor: a metric of the validation: ``mIoU``, ``val/loss``.
        patience: validations in a row without an improvement that end the run.
        min_delta: an improvement of less does not count, in the metric's unit (percent for mIoU).
        **kwargs: see mmengine.
    """

    # Before CheckpointHook, which saves the best at the end of a validation.
    priority = 'NORMAL'

    def __init__(
        self, monitor: str = 'mIoU', patience: int = 5, min_delta: float = 1e-6, **kwargs
    ) -> None:
        super().__init__(monitor, patience=patience, min_delta=min_delta, **kwargs)

    def before_train(self, runner) -> None:
        """Continue counting where the checkpoint stands."""
        state = runner.message_hub.runtime_info.get(STATE)
        if state is not None:
            self.best_score, self.wait_count = state['best_score'], state['wait_count']
            runner.train_loop.stop_training = self.wait_count >= self.patience

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Count, and end the run where it is time.

        Raises:
            ValueError: the validation does not give the metric.
        """
        if self.monitor not in metrics:
            raise ValueError(
                f"early stopping watches '{self.monitor}', but the validation gives "
                f'{", ".join(metrics)}; set early_stopping.monitor to one of them'
            )
        super().after_val_epoch(runner, metrics)
        state = {'best_score': float(self.best_score), 'wait_count': self.wait_count}
        runner.message_hub.update_info(STATE, state)
