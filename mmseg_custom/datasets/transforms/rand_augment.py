"""RandAugment (https://arxiv.org/abs/1909.13719): some operations of one strength, drawn at random.

The operations, their ranges and that each grows with its strength are those of timm's
``rand-m9-mstd0.5-inc1``, which the recipe of PVT and MiT names. Pixels come from mmcv's functions
instead of Pillow's.
"""

from collections.abc import Callable

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform

from mmseg_custom.registry import TRANSFORMS

LARGEST = 10.0
FILL = (104, 116, 124)


def _sign() -> int:
    return int(np.random.choice((-1, 1)))


def _enhanced(function: Callable) -> Callable:
    return lambda image, share: function(image, max(0.1, 1 + _sign() * 0.9 * share))


def _solarize_add(image: np.ndarray, share: float) -> np.ndarray:
    brighter = np.minimum(image.astype(np.int16) + int(110 * share), 255).astype(np.uint8)
    return np.where(image < 128, brighter, image)


def _posterize(image: np.ndarray, share: float) -> np.ndarray:
    return mmcv.posterize(image, max(4 - int(4 * share), 1))


def _shear(direction: str) -> Callable:
    return lambda image, share: mmcv.imshear(
        image, _sign() * 0.3 * share, direction, border_value=FILL
    )


def _translate(direction: str, axis: int) -> Callable:
    return lambda image, share: mmcv.imtranslate(
        image, _sign() * 0.45 * share * image.shape[axis], direction, border_value=FILL
    )


# Each takes a picture, (H, W, 3) uint8 BGR, and the strength as a share, 0 to 1.
OPERATIONS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    'auto_contrast': lambda image, share: mmcv.auto_contrast(image),
    'equalize': lambda image, share: mmcv.imequalize(image),
    'invert': lambda image, share: mmcv.iminvert(image),
    'rotate': lambda image, share: mmcv.imrotate(image, _sign() * 30 * share, border_value=FILL),
    'posterize': _posterize,
    'solarize': lambda image, share: mmcv.solarize(image, 256 - int(256 * share)),
    'solarize_add': _solarize_add,
    'color': _enhanced(mmcv.adjust_color),
    'contrast': _enhanced(mmcv.adjust_contrast),
    'brightness': _enhanced(mmcv.adjust_brightness),
    'sharpness': _enhanced(mmcv.adjust_sharpness),
    'shear_x': _shear('horizontal'),
    'shear_y': _shear('vertical'),
    'translate_x': _translate('horizontal', 1),
    'translate_y': _translate('vertical', 0),
}


@TRANSFORMS.register_module()
class RandAugment(BaseTransform):
    """Apply randomly chosen operations.

    Args:
        num_ops: operations drawn for a picture, with replacement.
        magnitude: mean strength, 0 to 10.
        magnitude_std: its deviation; drawn anew for each operation.
        prob: with which a drawn operation is applied.

    Raises:
        ValueError: ``magnitude`` is out of range.
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: float = 9.0,
        magnitude_std: float = 0.5,
        prob: float = 0.5,
    ) -> None:
        if not 0 <= magnitude <= LARGEST:
            raise ValueError(f'magnitude={magnitude}; expected 0 to {LARGEST:g}')
        self.num_ops, self.magnitude = num_ops, magnitude
        self.magnitude_std, self.prob = magnitude_std, prob

    def transform(self, results: dict) -> dict:
        """Replace ``img``, (H, W, 3) uint8 BGR, by one of the same size."""
        for name in np.random.choice(list(OPERATIONS), self.num_ops):
            if np.random.random() < self.prob:
                strength = np.random.normal(self.magnitude, self.magnitude_std)
                share = float(np.clip(strength, 0, LARGEST)) / LARGEST
                results['img'] = OPERATIONS[str(name)](results['img'], share).astype(np.uint8)
        return results
