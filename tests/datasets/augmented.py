"""Generated samples, and mmseg's training transforms one by one and fused."""

import cv2
import numpy as np
from mmengine.registry import init_default_scope

from mmseg_custom.datasets import fuse
from mmseg_custom.registry import TRANSFORMS

RESIZE = dict(type='RandomResize', scale=(256, 64), ratio_range=(0.5, 2.0), keep_ratio=True)
CROP = dict(type='RandomCrop', crop_size=(48, 56), cat_max_ratio=0.75)
FLIP = dict(type='RandomFlip', prob=0.5)
PHOTOMETRIC = dict(type='PhotoMetricDistortion')
PACK = dict(type='PackSegInputs')
CHAIN = (RESIZE, CROP, FLIP, PHOTOMETRIC, PACK)


def picture(seed: int = 0, height: int = 64, width: int = 85) -> np.ndarray:
    """A smooth one in many colours, (height, width, 3) uint8."""
    spots = np.random.RandomState(seed).randint(0, 256, (7, 9, 3), dtype=np.uint8)
    return cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC)


def label_map(seed: int = 0, height: int = 64, width: int = 85) -> np.ndarray:
    """Half of it class 0, the rest spots of 1 to 4 and of 255."""
    spots = np.random.RandomState(seed).choice([0, 0, 0, 0, 0, 1, 2, 3, 4, 255], (7, 9))
    spots = spots.astype(np.uint8)
    return cv2.resize(spots, (width, height), interpolation=cv2.INTER_NEAREST)


def sample(seed: int = 0, **changes) -> dict:
    """What the loading transforms leave."""
    image = picture(seed)
    loaded = dict(img=image, gt_seg_map=label_map(seed), seg_fields=['gt_seg_map'])
    loaded.update(img_shape=image.shape[:2], ori_shape=image.shape[:2], img_path=f'{seed}.png')
    return {**loaded, **changes}


def one_by_one(steps) -> list:
    init_default_scope('mmseg_custom')
    return [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in steps]


def fused(steps, **options) -> list:
    return fuse(one_by_one(steps), **options)


def names(steps: list) -> list[str]:
    return [type(step).__name__ for step in steps]


def run(steps: list, results: dict, seed: int) -> tuple[dict, np.ndarray]:
    """The results, and the next numbers of the generator."""
    np.random.seed(seed)
    for step in steps:
        results = step(results)
    return results, np.random.random_sample(3)
