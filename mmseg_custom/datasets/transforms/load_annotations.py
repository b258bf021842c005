"""mmseg's ``LoadAnnotations``, which also takes masks from a data set's own reader."""

from mmseg.datasets.transforms import LoadAnnotations as UpstreamLoadAnnotations

from mmseg_custom.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadAnnotations(UpstreamLoadAnnotations):
    """Load ``gt_seg_map``, uint8 (H, W), with mmseg's arguments and results.

    Where a sample has a ``mask_reader``, it is called with the sample and returns the label map:
    class indices, or 255 where nothing is labelled.
    """

    def _load_seg_map(self, results: dict) -> None:
        if 'mask_reader' not in results:
            super()._load_seg_map(results)
            return
        results['gt_seg_map'] = results['mask_reader'](results)
        results['seg_fields'].append('gt_seg_map')
