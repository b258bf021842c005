"""Pictures of a batch mixed with each other, and their labels with them.

Papers: mixup (https://arxiv.org/abs/1710.09412), CutMix (https://arxiv.org/abs/1905.04899). As in
timm, with which MiT's recipe was written: one draw for a batch, each picture is mixed with its
counterpart in the reversed batch.
"""

import numpy as np
import torch.nn.functional as F
from torch import Tensor


class BatchMixing:
    """Mixup or CutMix, drawn anew for every batch.

    Args:
        mixup_alpha: of the Beta distribution that a share comes from; 0 for no mixup.
        cutmix_alpha: the same of the rectangle's area; 0 for no CutMix.
        prob: share of the batches that are mixed.
        switch_prob: share of CutMix where there are both.

    Raises:
        ValueError: both are 0, or a number is out of range.
    """

    def __init__(
        self,
        mixup_alpha: float = 0.8,
        cutmix_alpha: float = 1.0,
        prob: float = 1.0,
        switch_prob: float = 0.5,
    ) -> None:
        if min(mixup_alpha, cutmix_alpha) < 0 or mixup_alpha + cutmix_alpha == 0:
            raise ValueError(
                f'mixup_alpha={mixup_alpha}, cutmix_alpha={cutmix_alpha}; expected one above 0, or '
                'batch_mixing=None for no mixing'
            )
        if not (0 <= prob <= 1 and 0 <= switch_prob <= 1):
            raise ValueError(f'prob={prob}, switch_prob={switch_prob}; expected 0 to 1')
        self.mixup_alpha, self.cutmix_alpha = mixup_alpha, cutmix_alpha
        self.prob, self.switch_prob = prob, switch_prob

    def __call__(self, images: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Mix a batch.

        Args:
            images: float, (N, C, H, W).
            labels: int64, (N,), class indices.
            num_classes: K.

        Returns:
            Images of the same shape, and float targets (N, K), of which each row sums to 1.
        """
        targets = F.one_hot(labels, num_classes).to(images.dtype)
        if np.random.random() >= self.prob:
            return images, targets
        others = images.flip(0)
        if self._takes_cutmix():
            share = np.random.beta(self.cutmix_alpha, self.cutmix_alpha)
            top, bottom, left, right = _rectangle(images.shape[2:], 1 - share)
            images = images.clone()
            images[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
            # The rectangle may be cut off at the border.
            share = 1 - (bottom - top) * (right - left) / (images.shape[2] * images.shape[3])
        else:
            share = np.random.beta(self.mixup_alpha, self.mixup_alpha)
            images = share * images + (1 - share) * others
        return images, share * targets + (1 - share) * targets.flip(0)

    def _takes_cutmix(self) -> bool:
        if not (self.mixup_alpha and self.cutmix_alpha):
            return bool(self.cutmix_alpha)
        return np.random.random() < self.switch_prob


def _rectangle(size: tuple[int, int], area: float) -> tuple[int, int, int, int]:
    """Draw top, bottom, left and right of a rectangle of a share of the picture's area."""
    edges = []
    for side in size:
        half = int(side * area**0.5) // 2
        centre = np.random.randint(side)
        edges += [max(centre - half, 0), min(centre + half, side)]
    return tuple(edges)
