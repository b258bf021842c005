"""mmseg's ``SegTTAModel``, right for heads with one output channel."""

import torch
from mmengine.structures import PixelData
from mmseg.models import SegTTAModel as UpstreamSegTTAModel
from mmseg.utils import SampleList

from mmseg_custom.registry import MODELS


@MODELS.register_module()
class SegTTAModel(UpstreamSegTTAModel):
    """mmseg's class with the same arguments; it averages the probabilities of all views.

    For one output channel a segmentor's ``seg_logits`` are probabilities. The stock class takes
    their sigmoid again, which is one half or more: with a threshold of one half every pixel is
    foreground.
    """

    def merge_preds(self, data_samples_list: list[SampleList]) -> SampleList:
        """Merge the views of each picture; see mmseg.

        Args:
            data_samples_list: for each picture the predictions of its views.

        Returns:
            One sample for each picture, with ``pred_sem_seg``.
        """
        merged = super().merge_preds(data_samples_list)
        if self.module.out_channels == 1:
            for views, sample in zip(data_samples_list, merged):
                shares = torch.stack([view.seg_logits.data for view in views]).mean(0)
                labels = (shares > self.module.decode_head.threshold).to(shares)
                sample.set_data({'pred_sem_seg': PixelData(data=labels)})
        return merged
