"""Losses of one output channel: the logit of the foreground, class 1.

The pixels of a thin foreground hardly change the mean of a cross entropy; the Dice loss compares
areas, so a foreground of any size counts the same (V-Net, https://arxiv.org/abs/1606.04797).
mmseg's ``DiceLoss`` takes a single channel for that of class 0, its ``TverskyLoss`` for a softmax.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_custom.models.losses.cross_entropy_loss import EPSILON, IGNORE_NOTHING
from mmseg_custom.registry import MODELS


class BinaryLoss(nn.Module):
    """Base of losses of one output channel; a subclass computes them in :meth:`compute`.

    Args:
        loss_weight: factor of the result.
        loss_name: name in the log; only names that start with ``loss_`` are trained.
    """

    def __init__(self, loss_weight: float, loss_name: str) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def compute(self, logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
        """The loss, shape ().

        Args:
            logits: (N, H, W), float32 or float64.
            target: 0 and 1, of the same shape and dtype.
            counted: factor of each pixel, 0 where it is ignored, of the same shape and dtype.
        """
        raise NotImplementedError

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        ignore_index: int | None = IGNORE_NOTHING,
        **kwargs,
    ) -> Tensor:
        """Loss of logits that have the labels' size.

        Args:
            cls_score: (N, 1, H, W) logits; half precision is computed in single.
            label: (N, H, W) integers 0, 1 or ``ignore_index``.
            weight: factor of each pixel, (N, H, W).
            ignore_index: label of pixels that do not count; None where every one counts.
            **kwargs: unused.

        Raises:
            ValueError: there is more than one channel.
        """
        if cls_score.ndim != 4 or cls_score.shape[1] != 1:
            raise ValueError(
                f'{type(self).__name__} takes logits (N, 1, H, W), got {tuple(cls_score.shape)}; '
                'set task=binary, or decode_head.out_channels=1 and num_classes=2'
            )
        dtype = torch.promote_types(cls_score.dtype, torch.float32)
        counted = (label != (IGNORE_NOTHING if ignore_index is None else ignore_index)).to(dtype)
        if weight is not None:
            counted = counted * weight
        target = (label == 1).to(dtype)
        with torch.autocast(cls_score.device.type, enabled=False):
            return self.loss_weight * self.compute(cls_score.squeeze(1).to(dtype), target, counted)

    def extra_repr(self) -> str:
        """Arguments that the module's printed form shows."""
        return f'loss_weight={self.loss_weight}, loss_name={self.loss_name!r}'


@MODELS.register_module()
class BinaryCrossEntropyLoss(BinaryLoss):
    """Mean cross entropy of the pixels that are not ignored.

    Args:
        pos_weight: factor of the foreground pixels' loss.
        loss_weight: factor of the result.
        loss_name: see :class:`BinaryLoss`.

    Raises:
        ValueError: ``pos_weight`` is not positive.
    """

    def __init__(
        self, pos_weight: float = 1.0, loss_weight: float = 1.0, loss_name: str = 'loss_bce'
    ) -> None:
        super().__init__(loss_weight, loss_name)
        if not pos_weight > 0:
            raise ValueError(
                f'pos_weight takes a positive number, got {pos_weight!r}; leave it out'
            )
        self.pos_weight = pos_weight

    def compute(self, logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
        """See :class:`BinaryLoss`."""
        pos_weight = logits.new_tensor(self.pos_weight)
        return F.binary_cross_entropy_with_logits(
            logits, target, counted, reduction='sum', pos_weight=pos_weight
        ) / (counted.sum() + EPSILON)


@MODELS.register_module()
class BinaryDiceLoss(BinaryLoss):
    """1 minus the Dice coefficient of probabilities and labels, over all pixels of the batch.

    That is ``1 - (2 sum(p y) + s) / (sum(p) + sum(y) + s)`` with probabilities p and labels y.
    A batch and not a picture at a time: a crop without foreground has no area to compare.

    Args:
        smooth: s, in pixels; keeps the loss of a batch without foreground defined.
        loss_weight: factor of the result.
        loss_name: see :class:`BinaryLoss`.

    Raises:
        ValueError: ``smooth`` is not positive.
    """

    def __init__(
        self, smooth: float = 1.0, loss_weight: float = 1.0, loss_name: str = 'loss_dice'
    ) -> None:
        super().__init__(loss_weight, loss_name)
        if not smooth > 0:
            raise ValueError(f'smooth takes a positive number of pixels, got {smooth!r}')
        self.smooth = smooth

    def compute(self, logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
        """See :class:`BinaryLoss`."""
        share = logits.sigmoid() * counted
        overlap, areas = (share * target).sum(), share.sum() + (target * counted).sum()
        return 1 - (2 * overlap + self.smooth) / (areas + self.smooth)
