"""A rectangle of noise over a picture (https://arxiv.org/abs/1708.04896)."""

import math

import numpy as np
from mmcv.transforms import BaseTransform

from mmseg_custom.registry import TRANSFORMS

NUM_TRIALS = 10


@TRANSFORMS.register_module()
class RandomErasing(BaseTransform):
    """Fill a random rectangle with noise, one colour per pixel, as timm's ``pixel`` mode does.

    timm draws the noise after the normalisation; here it is drawn with the same mean and deviation
    before it, rounded and cut to 0..255.

    Args:
        prob: share of the pictures that get one.
        area: least and largest share of the picture's area.
        aspect: least and largest height over width.
        mean: of the noise, BGR, 0..255.
        std: its deviation.
    """

    def __init__(
        self,
        prob: float = 0.25,
        area: tuple[float, float] = (0.02, 1 / 3),
        aspect: tuple[float, float] = (0.3, 1 / 0.3),
        mean: tuple[float, float, float] = (103.53, 116.28, 123.675),
        std: tuple[float, float, float] = (57.375, 57.12, 58.395),
    ) -> None:
        self.prob, self.area, self.aspect, self.mean, self.std = prob, area, aspect, mean, std

    def transform(self, results: dict) -> dict:
        """Change ``img``, (H, W, 3) uint8 BGR."""
        if np.random.random() >= self.prob:
            return results
        rows, columns = results['img'].shape[:2]
        for _ in range(NUM_TRIALS):
            pixels = rows * columns * np.random.uniform(*self.area)
            aspect = math.exp(np.random.uniform(*map(math.log, self.aspect)))
            height, width = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
            if 0 < height < rows and 0 < width < columns:
                top = np.random.randint(rows - height + 1)
                left = np.random.randint(columns - width + 1)
                noise = np.random.normal(self.mean, self.std, (height, width, 3))
                image = results['img'].copy()
                image[top : top + height, left : left + width] = noise.round().clip(0, 255)
                results['img'] = image
                break
        return results
