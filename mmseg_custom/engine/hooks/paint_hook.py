"""Pictures of what a model predicts on the test set."""

from collections.abc import Sequence
from pathlib import Path

import cv2
from mmengine.hooks import Hook

from mmseg_custom.registry import HOOKS
from mmseg_custom.visualization.panels import draw_overlay, side_by_side
from mmseg_custom.visualization.rendering import write_image


@HOOKS.register_module()
class PaintHook(Hook):
    """Write one picture per test sample: image, ground truth and prediction side by side.

    Where a sample has no ground truth, its overlay with legend is written.

    Args:
        out_dir: folder for the pictures; made when it is missing.
    """

    priority = 'NORMAL'

    def __init__(self, out_dir: str) -> None:
        self.out_dir = Path(out_dir)

    def after_test_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: Sequence | None = None
    ) -> None:
        """Paint the samples of a batch as ``<out_dir>/<stem>.png``."""
        meta = runner.test_dataloader.dataset.metainfo
        for sample in outputs or ():
            # As the pipeline reads it: OpenCV turns a picture as its EXIF says.
            image = cv2.cvtColor(cv2.imread(sample.img_path), cv2.COLOR_BGR2RGB)
            prediction = sample.pred_sem_seg.data[0].cpu().numpy()
            if 'gt_sem_seg' in sample:
                truth = sample.gt_sem_seg.data[0].cpu().numpy()
                row = (image, truth, prediction)
                picture = side_by_side([row], meta['classes'], meta['palette'])
            else:
                picture = draw_overlay(image, prediction, meta['classes'], meta['palette'])
            write_image(self.out_dir / f'{Path(sample.img_path).stem}.png', picture)
