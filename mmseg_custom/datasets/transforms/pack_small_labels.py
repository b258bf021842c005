"""The last step of a training pipeline whose data preprocessor takes labels in 8 bits."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample


class PackSmallLabels(BaseTransform):
    """mmseg's ``PackSegInputs``, which leaves the label map in 8 bits.

    mmseg makes eight bytes of each: with them a worker sends the training process more bytes of
    labels than of pictures. Other samples than those of one picture and one label map are packed
    by mmseg's.

    Built by :func:`mmseg_custom.datasets.fusing.fuse`, not from a config.

    Args:
        pack: mmseg's ``PackSegInputs``.
    """

    def __init__(self, pack) -> None:
        self.pack = pack

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.pack!r})'

    def transform(self, results: dict) -> dict:
        """Return ``inputs``, uint8 (3, H, W), and ``data_samples`` with labels uint8 (1, H, W)."""
        image, labels = results['img'], results.get('gt_seg_map')
        if results.get('seg_fields') != ['gt_seg_map'] or labels.ndim != 2 or image.ndim != 3:
            return self.pack(results)
        labels = torch.from_numpy(np.ascontiguousarray(labels)[None])
        sample = SegDataSample(gt_sem_seg=PixelData(data=labels))
        for key in self.pack.meta_keys:
            if key in results:
                # `set_metainfo` would copy each value deeply, but nobody else keeps them.
                sample.set_field(results[key], key, field_type='metainfo')
        planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        return {'inputs': planes, 'data_samples': sample}
