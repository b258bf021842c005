"""mmseg's data sets under their own names, with their files checked before training starts."""

from functools import cached_property
from pathlib import Path

from mmseg import datasets as stock

from mmseg_custom.datasets.checks import find_by_stem, first_names
from mmseg_custom.datasets.mask_reader import MaskReader, index_reader
from mmseg_custom.registry import DATASETS


class CheckedFiles:
    """Mix-in: an empty list of images, images without masks, or labels of no class are errors.

    mmseg trains on what it lists, waits forever where the list is empty, and lets a label outside
    the classes through to the loss.
    """

    @cached_property
    def mask_reader(self: stock.BaseSegDataset) -> MaskReader:
        """What samples carry for ``LoadAnnotations``."""
        return index_reader(self)

    def get_data_info(self: stock.BaseSegDataset, idx: int) -> dict:
        """Return a sample as mmseg does, with ``mask_reader`` for ``LoadAnnotations``."""
        return {**super().get_data_info(idx), 'mask_reader': self.mask_reader}

    def load_data_list(self: stock.BaseSegDataset) -> list[dict]:
        """List the samples as mmseg does.

        Raises:
            FileNotFoundError: there are no images, or images have no mask.
        """
        samples = super().load_data_list()
        image_dir = self.data_prefix['img_path']
        if not samples:
            find_by_stem(Path(image_dir), (self.img_suffix,))
            raise FileNotFoundError(f'{self.ann_file} lists no images of {image_dir}')
        missing = [
            Path(sample['img_path']).name
            for sample in samples
            if 'seg_map_path' in sample and not Path(sample['seg_map_path']).is_file()
        ]
        if missing:
            raise FileNotFoundError(
                f'{len(missing)} of {len(samples)} images in {image_dir} have no mask in '
                f'{self.data_prefix["seg_map_path"]}: {first_names(missing)}; expected the same '
                f'name with {self.seg_map_suffix} for {self.img_suffix}, add the masks'
            )
        return samples


@DATASETS.register_module()
class ADE20KDataset(CheckedFiles, stock.ADE20KDataset):
    """ADE20K: 150 classes, 0 in the files is ignored."""


@DATASETS.register_module()
class CityscapesDataset(CheckedFiles, stock.CityscapesDataset):
    """Cityscapes: 19 train ids."""


@DATASETS.register_module()
class COCOStuffDataset(CheckedFiles, stock.COCOStuffDataset):
    """COCO-Stuff 164k: 171 classes."""


@DATASETS.register_module()
class PascalContextDataset(CheckedFiles, stock.PascalContextDataset):
    """Pascal Context: 59 classes and background."""


@DATASETS.register_module()
class PascalContextDataset59(CheckedFiles, stock.PascalContextDataset59):
    """Pascal Context without background."""


@DATASETS.register_module()
class PascalVOCDataset(CheckedFiles, stock.PascalVOCDataset):
    """Pascal VOC 2012: 20 classes and background."""
