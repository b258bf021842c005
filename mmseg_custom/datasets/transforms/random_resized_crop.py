"""A part of random size and place, resized: the crop of ImageNet trainings."""

import math

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform

from mmseg_custom.registry import TRANSFORMS

NUM_TRIALS = 10


@TRANSFORMS.register_module()
class RandomResizedCrop(BaseTransform):
    """Cut out a part of random area and aspect and resize it, as torchvision does.

    Args:
        crop_size: (height, width) of the result in pixels.
        area: least and largest share of the picture's area.
        aspect: least and largest width over height of the part.
        interpolation: of Pillow, which smooths where it makes smaller.

    Raises:
        ValueError: a range does not fit.
    """

    def __init__(
        self,
        crop_size: tuple[int, int],
        area: tuple[float, float] = (0.08, 1.0),
        aspect: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: str = 'bicubic',
    ) -> None:
        if not 0 < area[0] <= area[1] <= 1 or not 0 < aspect[0] <= aspect[1]:
            raise ValueError(
                f'area={area}, aspect={aspect}; expected (least, largest), areas above 0 to 1'
            )
        self.crop_size, self.area, self.aspect = tuple(crop_size), area, aspect
        self.interpolation = interpolation

    def transform(self, results: dict) -> dict:
        """Replace ``img``, (H, W, 3) uint8, and ``img_shape``."""
        image = results['img']
        top, left, height, width = self.draw(image.shape[:2])
        part = image[top : top + height, left : left + width]
        size = self.crop_size[::-1]
        results['img'] = mmcv.imresize(
            part, size, interpolation=self.interpolation, backend='pillow'
        )
        results['img_shape'] = self.crop_size
        return results

    def draw(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Draw top, left, height and width of a part of a picture of ``size`` (height, width)."""
        rows, columns = size
        for _ in range(NUM_TRIALS):
            pixels = rows * columns * np.random.uniform(*self.area)
            aspect = math.exp(np.random.uniform(*map(math.log, self.aspect)))
            height, width = round(math.sqrt(pixels / aspect)), round(math.sqrt(pixels * aspect))
            if 0 < height <= rows and 0 < width <= columns:
                top = np.random.randint(rows - height + 1)
                return top, np.random.randint(columns - width + 1), height, width
        # A picture too narrow or too wide for any of them: the largest part in its middle.
        height = min(rows, max(round(columns / self.aspect[0]), 1))
        width = min(columns, max(round(rows * self.aspect[1]), 1))
        return (rows - height) // 2, (columns - width) // 2, height, width
