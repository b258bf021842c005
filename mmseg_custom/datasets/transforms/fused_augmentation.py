"""Random resize, crop, flip and photometric distortion in one step, on the crop alone."""

import cv2
import numpy as np
from mmcv.image.geometric import rescale_size
from mmcv.transforms import BaseTransform

from mmseg_custom.datasets.transforms.cropped_resize import (
    Box,
    resize_label_part,
    resize_part,
)
from mmseg_custom.datasets.transforms.photometric import distort, draw_distortion

NUM_TRIALS = 10
# A crop's classes are counted on about so many rows and columns first. Neighbours in a row are
# fetched from memory together.
COARSE_ROWS, COARSE_COLUMNS = 48, 192
FLIPS = {'horizontal': 1, 'vertical': 0, 'diagonal': -1}


class FusedAugmentation(BaseTransform):
    """What a chain of mmseg's transforms does, with their arguments and their random numbers.

    The crop is chosen before anything is resized, and only that part of the picture is. The label
    map has the pixels that the chain gives it. The picture has them, too, but for what
    ``resize_part`` and ``photometric`` say. Samples that are not one 8-bit BGR picture with one
    label map are given to the chain.

    Built by :func:`mmseg_custom.datasets.fusing.fuse`, not from a config.

    Args:
        resize: mmcv's ``RandomResize``.
        crop: mmseg's ``RandomCrop``.
        flip: mmseg's ``RandomFlip``, or None.
        photometric: mmseg's ``PhotoMetricDistortion``, or None.
        drawn: the scale is drawn by :class:`DrawScale`, before the picture is loaded.
        planar: leave the picture as a view of its three planes, which ``PackSegInputs`` takes
            without a copy.
    """

    def __init__(self, resize, crop, flip, photometric, drawn: bool, planar: bool) -> None:
        self.resize, self.crop, self.flip = resize, crop, flip
        self.photometric, self.drawn, self.planar = photometric, drawn, planar
        self.chain = [step for step in (resize, crop, flip, photometric) if step is not None]
        if flip is not None:
            self.directions, self.limits = _flip_limits(flip)

    def __repr__(self) -> str:
        return f'{type(self).__name__}({", ".join(map(repr, self.chain))})'

    def transform(self, results: dict) -> dict | None:
        """Change ``img`` (H, W, 3), ``gt_seg_map`` (H, W) and what says where they come from."""
        scale = results['scale'] if self.drawn else self.resize._random_scale()
        whole = results['ori_shape'][:2] if self.drawn else results['img'].shape[:2]
        if not _is_plain(results, whole):
            return self._run_chain(results, scale, whole)
        size = self._resized(whole, scale)
        box = self._draw_box(results['gt_seg_map'], size)
        image = resize_part(results['img'], size, box)
        labels = resize_label_part(results['gt_seg_map'], size, box)
        results['scale'], results['keep_ratio'] = scale, self.resize.resize.keep_ratio
        results['scale_factor'] = (size[0] / whole[1], size[1] / whole[0])
        results['img_shape'] = (box.height, box.width)
        if self.flip is not None:
            image, labels = self._flip(results, image, labels)
        results['img'], results['gt_seg_map'] = self._finish(image), labels
        return results

    def _run_chain(
        self, results: dict, scale: tuple[int, int], whole: tuple[int, int]
    ) -> dict | None:
        if results['img'].shape[:2] != tuple(whole):
            # Decoded at a reduced scale; the chain expects the size of the maps.
            results['img'] = cv2.resize(results['img'], whole[::-1])
        self.resize.resize.scale = results['scale'] = scale
        results = self.resize.resize(results)
        for step in self.chain[1:]:
            results = step(results)
        return results

    def _resized(self, whole: tuple[int, int], scale: tuple[int, int]) -> tuple[int, int]:
        """Width and height that a picture of ``whole`` (height, width) is resized to."""
        return rescale_size(whole[::-1], scale) if self.resize.resize.keep_ratio else scale

    def _draw_box(self, labels: np.ndarray, size: tuple[int, int]) -> Box:
        """Draw parts until one class does not fill one, as mmseg does."""
        box = self._draw_any_box(size)
        if self.crop.cat_max_ratio < 1:
            for _ in range(NUM_TRIALS):
                if self._is_mixed(labels, size, box):
                    break
                box = self._draw_any_box(size)
        return box

    def _draw_any_box(self, size: tuple[int, int]) -> Box:
        width, height = size
        rows, columns = self.crop.crop_size
        top = np.random.randint(0, max(height - rows, 0) + 1)
        left = np.random.randint(0, max(width - columns, 0) + 1)
        return Box(top, left, min(rows, height), min(columns, width))

    def _is_mixed(self, labels: np.ndarray, size: tuple[int, int], box: Box) -> bool:
        """Whether no class has ``cat_max_ratio`` of a part: on some of its pixels if that is clear.

        Where the share of those is too near to the limit, all pixels are counted.
        """
        limit = self.crop.cat_max_ratio
        scales = labels.shape[0] / size[1], labels.shape[1] / size[0]
        rows = _coarse(box.top, box.height, scales[0], COARSE_ROWS)
        columns = _coarse(box.left, box.width, scales[1], COARSE_COLUMNS)
        share, number = self._largest_share(np.ascontiguousarray(labels[rows, columns]))
        if number and abs(share - limit) > 2 / number**0.5:
            return share < limit
        share, number = self._largest_share(resize_label_part(labels, size, box))
        return number > 0 and share < limit

    def _largest_share(self, labels: np.ndarray) -> tuple[float, int]:
        """Share of the most frequent class, and how many pixels have a class."""
        counts = cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()
        if 0 <= self.crop.ignore_index < 256:
            counts[self.crop.ignore_index] = 0
        number = int(counts.sum(dtype=np.float64))
        return (float(counts.max()) / number if number else 0.0), number

    def _flip(self, results: dict, image: np.ndarray, labels: np.ndarray):
        direction = self.directions[self.limits.searchsorted(np.random.random_sample(), 'right')]
        results['flip'], results['flip_direction'] = direction is not None, direction
        if direction is None:
            return image, labels
        results['swap_seg_labels'] = None
        return cv2.flip(image, FLIPS[direction]), cv2.flip(labels, FLIPS[direction])

    def _finish(self, image: np.ndarray) -> np.ndarray:
        """Distort, and lay out as ``planar`` says."""
        if self.photometric is None and not self.planar:
            return np.ascontiguousarray(image)
        planes = np.empty((3, *image.shape[:2]), np.uint8)
        cv2.split(image, list(planes))
        if self.photometric is not None:
            distort(planes, draw_distortion(self.photometric))
        return planes.transpose(1, 2, 0) if self.planar else cv2.merge(list(planes))


class DrawScale(BaseTransform):
    """Draw the scale of a :class:`FusedAugmentation` before the picture is loaded.

    ``decode_target`` (width, height) tells the loader how small it may decode: with a kept ratio
    the short edge is resized to no more than the short edge of the scale, and with it the long one.

    Args:
        resize: mmcv's ``RandomResize``.
    """

    def __init__(self, resize) -> None:
        self.resize = resize

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'

    def transform(self, results: dict) -> dict:
        """Add ``scale`` and ``decode_target``."""
        scale = results['scale'] = self.resize._random_scale()
        kept = self.resize.resize.keep_ratio
        results['decode_target'] = (min(scale), min(scale)) if kept else tuple(scale)
        return results


def _flip_limits(flip) -> tuple[list[str | None], np.ndarray]:
    """The directions of a ``RandomFlip``, and up to which random number each is chosen.

    ``np.random.choice``, which mmcv calls, does the same; it takes longer than flipping.
    """
    directions = [flip.direction] if isinstance(flip.direction, str) else list(flip.direction)
    if isinstance(flip.prob, float):
        shares, rest = [flip.prob / len(directions)] * len(directions), 1 - flip.prob
    else:
        shares, rest = flip.prob, 1 - sum(flip.prob)
    limits = np.cumsum([*shares, rest])
    return [*directions, None], limits / limits[-1]


def _is_plain(results: dict, whole: tuple[int, int]) -> bool:
    """Whether a sample has one 8-bit BGR picture and one 8-bit label map of its size, and no more.

    A picture that was decoded at a reduced scale is smaller than ``whole``.
    """
    image, labels = results['img'], results.get('gt_seg_map')
    return (
        results.get('seg_fields') == ['gt_seg_map']
        and all(results.get(key) is None for key in ('gt_bboxes', 'gt_keypoints'))
        and labels is not None
        and image.ndim == 3
        and image.shape[2] == 3
        and image.dtype == labels.dtype == np.uint8
        and labels.ndim == 2
        and labels.shape in (whole, image.shape[:2])
    )


def _coarse(start: int, length: int, scale: float, number: int) -> slice:
    """About ``number`` source pixels of a part of one axis."""
    first = int(start * scale)
    last = max(int((start + length) * scale), first + 1)
    return slice(first, last, max(1, (last - first) // number))
