"""A few predictions of each validation as pictures for TensorBoard and the like."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.visualization import MLflowVisBackend, TensorboardVisBackend, WandbVisBackend

from mmseg_custom.engine.hooks.paint_hook import panel
from mmseg_custom.registry import HOOKS


@HOOKS.register_module()
class SamplePredictionsHook(Hook):
    """Show the first pictures of each validation beside ground truth and prediction.

    They go to the backends that keep pictures: TensorBoard, W&B and MLflow.

    Args:
        num_samples: of the first process.
    """

    priority = 'BELOW_NORMAL'

    def __init__(self, num_samples: int = 4) -> None:
        self.num_samples = num_samples
        self._shown = 0

    def before_val_epoch(self, runner) -> None:
        """Begin anew."""
        self._shown = 0

    @master_only
    def after_val_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: Sequence | None = None
    ) -> None:
        """Show what is left to show of this batch."""
        left = self.num_samples - self._shown
        for sample in [s for s in outputs or () if 'pred_sem_seg' in s][:left]:
            picture = panel(sample, runner.val_dataloader.dataset)
            name = f'val/{self._shown}_{Path(sample.img_path).stem}'
            for backend in runner.visualizer._vis_backends.values():
                if isinstance(backend, MLflowVisBackend):
                    # A picture is a file there, and its step a part of the name.
                    backend.add_image(f'{name}/{runner.iter:08}.png', picture)
                elif isinstance(backend, TensorboardVisBackend | WandbVisBackend):
                    backend.add_image(name, picture, runner.iter)
            self._shown += 1
