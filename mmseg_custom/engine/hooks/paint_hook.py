"""Pictures of what a model predicts on the test set."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.hooks import Hook

from mmseg_custom.engine.hooks.image_folder_hook import image_folder, innermost
from mmseg_custom.registry import HOOKS
from mmseg_custom.visualization.file_names import FileNames
from mmseg_custom.visualization.panels import draw_overlay, side_by_side
from mmseg_custom.visualization.rendering import write_image


def panel(sample, dataset) -> np.ndarray:
    """Picture, ground truth and prediction side by side; without ground truth an overlay.

    Args:
        sample: with ``img_path``, ``pred_sem_seg`` and, where there is one, ``gt_sem_seg``.
        dataset: which the sample is of, possibly inside wrappers.

    Returns:
        RGB uint8 (H, W, 3).
    """
    meta, image = dataset.metainfo, picture_of(sample.img_path, dataset)
    # A head with one channel predicts 0.0 and 1.0.
    prediction = sample.pred_sem_seg.data[0].to(torch.int64).cpu().numpy()
    if 'gt_sem_seg' not in sample:
        return draw_overlay(image, prediction, meta['classes'], meta['palette'])
    row = (image, sample.gt_sem_seg.data[0].cpu().numpy(), prediction)
    return side_by_side([row], meta['classes'], meta['palette'])


def picture_of(path: str, dataset) -> np.ndarray:
    """Read a sample's picture, RGB uint8 (H, W, 3); bands as their loader shows them."""
    dataset = innermost(dataset)
    pipeline = getattr(getattr(dataset, 'datasets', [dataset])[0], 'pipeline', None)
    loader = next(iter(getattr(pipeline, 'transforms', ())), None)
    if hasattr(loader, 'to_rgb'):
        return loader.to_rgb(loader({'img_path': path})['img'])
    # As the pipeline reads it: OpenCV turns a picture as its EXIF says.
    return cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)


@HOOKS.register_module()
class PaintHook(Hook):
    """Write one picture per test sample: image, ground truth and prediction side by side.

    Where a sample has no ground truth, its overlay with legend is written.

    Args:
        out_dir: folder for the pictures; made when it is missing. They lie in the same sub-folders
            as the data set's pictures.

    Raises:
        ValueError: two pictures of different folders have one name, in a data set that does not
            say where they lie.
    """

    priority = 'NORMAL'

    def __init__(self, out_dir: str) -> None:
        self.out_dir = Path(out_dir)
        self._names = FileNames()

    def after_test_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: Sequence | None = None
    ) -> None:
        """Paint the samples of a batch as ``<out_dir>/<path below the image folder>.png``."""
        dataset = runner.test_dataloader.dataset
        folder = image_folder(dataset)
        for sample in outputs or ():
            picture = panel(sample, dataset)
            name = self._names.name_of(sample.img_path, folder, str(self.out_dir))
            write_image(self.out_dir / f'{name}.png', picture)
