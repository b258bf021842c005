"""Labels of a picture, read by the data set that knows what its files mean."""

from functools import lru_cache

import cv2
import numpy as np
from mmengine import fileio
from mmseg.datasets.transforms import LoadAnnotations as StockLoadAnnotations

from mmseg_custom.datasets.mask_files import decode_mask
from mmseg_custom.labels import IGNORE_INDEX
from mmseg_custom.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadAnnotations(StockLoadAnnotations):
    """Load the label map of a picture: (H, W) uint8, class indices or 255.

    Differs from mmseg's class in three ways. A data set that puts a callable under ``mask_reader``
    reads its annotations itself, whatever they are. Masks are decoded faster, and those that mmseg
    would garble (colours, values above 255) are refused. A mask whose size is not its picture's is
    an error here and not a shifted label.

    Required keys: ``seg_map_path``, ``reduce_zero_label`` and perhaps ``label_map``, as mmseg's
    data sets give them, or ``mask_reader`` (called with all keys, returns the label map).

    Added keys: ``gt_seg_map``; its name in ``seg_fields``.

    Args:
        reduce_zero_label: as mmseg's; None takes what the data set says.
        backend_args: as mmseg's.
        imdecode_backend: as mmseg's; another one than ``'pillow'`` decodes with it.

    Raises:
        ValueError: the file cannot be read, holds no label values, or has another size.
    """

    def _load_seg_map(self, results: dict) -> None:
        reader = results.get('mask_reader')
        if reader is not None:
            label_map = reader(results)
        elif self.imdecode_backend != 'pillow':
            return super()._load_seg_map(results)
        else:
            label_map = self._read(results)
        _check_size(label_map, results)
        results['gt_seg_map'] = label_map
        results['seg_fields'].append('gt_seg_map')

    def _read(self, results: dict) -> np.ndarray:
        path = results['seg_map_path']
        mask = decode_mask(fileio.get(path, backend_args=self.backend_args), path)
        if mask.kind == 'rgb':
            raise ValueError(
                f'{path} is a mask of colours; expected one channel with class indices, convert it'
            )
        if mask.kind == '16-bit' and mask.pixels.max() > 255:
            raise ValueError(
                f'{path} holds {mask.pixels.max()}; expected class indices up to 255, convert it'
            )
        reduce = results['reduce_zero_label']
        if self.reduce_zero_label not in (None, reduce):
            raise ValueError(
                f'LoadAnnotations has reduce_zero_label={self.reduce_zero_label} but the data set '
                f'has {reduce}; set it in the data set only'
            )
        table = _table(bool(reduce), tuple((results.get('label_map') or {}).items()))
        indices = mask.pixels.astype(np.uint8, copy=False)
        return indices if table is None else cv2.LUT(indices, table)


@lru_cache(maxsize=32)
def _table(reduce_zero_label: bool, label_map: tuple[tuple[int, int], ...]) -> np.ndarray | None:
    """Index that each value of a file becomes, (256,) uint8; None where it stays as it is."""
    if not reduce_zero_label and not label_map:
        return None
    values = np.arange(256)
    if reduce_zero_label:
        values = np.where((values == 0) | (values == IGNORE_INDEX), IGNORE_INDEX, values - 1)
    renamed = dict(label_map)
    return np.array([renamed.get(value, value) for value in values.tolist()], np.uint8)


def _check_size(label_map: np.ndarray, results: dict) -> None:
    """Compare a mask from a file with the size of its picture's file, where both are known."""
    size = results.get('ori_shape')
    if size is None or 'seg_map_path' not in results or tuple(size) == label_map.shape:
        return
    (height, width), (mask_height, mask_width) = size, label_map.shape
    hint = 'export the mask at the size of its picture'
    if (height, width) == (mask_width, mask_height):
        hint += ' (one is turned: the picture may carry an EXIF rotation)'
    raise ValueError(
        f'{results["seg_map_path"]} is {mask_width}x{mask_height} but {results.get("img_path")} is '
        f'{width}x{height}; {hint}'
    )
