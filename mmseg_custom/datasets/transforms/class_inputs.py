"""The last step of a classifier's pipeline."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement

from mmseg_custom.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackClassInputs(BaseTransform):
    """Turn a picture and its class into a network's input.

    Returns ``inputs``, uint8 (3, H, W) BGR, and ``data_samples``, a ``BaseDataElement`` with
    ``gt_label`` (int64, no dimensions) where there is one, and the meta information.

    Args:
        meta_keys: entries of the pipeline's dictionary that the sample keeps.
    """

    def __init__(self, meta_keys: tuple[str, ...] = ('img_path', 'ori_shape', 'img_shape')) -> None:
        self.meta_keys = meta_keys

    def transform(self, results: dict) -> dict:
        """See the class."""
        image = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        sample = BaseDataElement(metainfo={k: results[k] for k in self.meta_keys if k in results})
        if 'gt_label' in results:
            sample.set_data({'gt_label': torch.tensor(results['gt_label'])})
        return {'inputs': torch.from_numpy(image), 'data_samples': sample}
