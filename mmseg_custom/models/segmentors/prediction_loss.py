"""The loss of a prediction, from the blocks of logits that its class map is made of."""

import torch
import torch.nn.functional as F
from mmseg.models.losses.cross_entropy_loss import CrossEntropyLoss as UpstreamCrossEntropyLoss
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_custom.models.losses.binary_losses import BinaryCrossEntropyLoss
from mmseg_custom.models.losses.cross_entropy_loss import IGNORE_NOTHING


def measured_loss(head: nn.Module) -> nn.Module | None:
    """The first cross entropy that a decode head is trained with; None without one.

    That is a softmax cross entropy, or for one output channel a binary one.
    """
    losses = getattr(head, 'loss_decode', None)
    is_binary = getattr(head, 'out_channels', None) == 1
    for loss in losses if isinstance(losses, nn.ModuleList) else [losses]:
        if is_binary and isinstance(loss, BinaryCrossEntropyLoss):
            return loss
        is_cross_entropy = isinstance(loss, UpstreamCrossEntropyLoss) and not loss.use_mask
        if is_cross_entropy and loss.use_sigmoid == is_binary:
            return loss
    return None


def _valid_labels(head: nn.Module, sample: SegDataSample, like: Tensor) -> tuple[Tensor, Tensor]:
    """The labels (H, W) of a sample, and which of them are not ignored."""
    labels = sample.gt_sem_seg.data.squeeze(0).to(like.device)
    ignore_index = IGNORE_NOTHING if head.ignore_index is None else head.ignore_index
    return labels, labels != ignore_index


def binary_loss_terms(head: nn.Module, sample: SegDataSample, logits: Tensor) -> Tensor:
    """Sum of one picture's binary cross entropy, and what a mean divides by.

    Args:
        head: a decode head with one output channel and a :func:`measured_loss`.
        sample: with ``gt_sem_seg``, integers (1, H, W): 0, 1 or the head's ``ignore_index``.
            Another label makes the loss NaN; metrics say which file holds it.
        logits: (1, H, W) of the foreground; half precision is computed in single.

    Returns:
        (2,), float32 or float64.
    """
    loss, logits = measured_loss(head), logits[0]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    labels, valid = _valid_labels(head, sample, logits)
    pos_weight = getattr(loss, 'pos_weight', None) or getattr(loss, 'class_weight', None)
    if pos_weight is not None:
        pos_weight = logits.new_tensor(pos_weight)
    each = F.binary_cross_entropy_with_logits(
        logits, (labels == 1).to(logits), reduction='none', pos_weight=pos_weight
    )
    each = each.masked_fill((labels != 0) & (labels != 1), float('nan')).masked_fill(~valid, 0.0)
    counted = valid if getattr(loss, 'avg_non_ignore', True) else torch.ones_like(valid)
    return torch.stack((loss.loss_weight * each.sum(), counted.sum().to(each)))


class PredictionLoss:
    """Cross entropy of one picture's final logits, summed block by block.

    Class weights, label smoothing, ``avg_non_ignore`` and ``loss_weight`` are the head's. A label
    that is neither a class nor ignored makes the loss NaN; metrics say which file holds it.

    Args:
        head: a decode head with a softmax :func:`measured_loss`.
        sample: with ``gt_sem_seg``, integers (1, H, W): classes or the head's ``ignore_index``.
        like: a tensor of the logits' device and dtype; half precision is computed in single.
    """

    def __init__(self, head: nn.Module, sample: SegDataSample, like: Tensor) -> None:
        loss, num_classes = measured_loss(head), head.out_channels
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        labels, self._valid = _valid_labels(head, sample, like)
        is_class = (labels >= 0) & (labels < num_classes)
        self._wrong = self._valid & ~is_class
        self._labels = labels.long().clamp(0, num_classes - 1)
        weights = like.new_ones(num_classes, dtype=dtype)
        if loss.class_weight is not None:
            weights = weights.new_tensor(loss.class_weight)
        smoothing = getattr(loss, 'label_smoothing', 0.0)
        self._direct = loss.loss_weight * (1 - smoothing) * weights
        self._spread = loss.loss_weight * smoothing / num_classes * weights if smoothing else None
        counted = self._valid if loss.avg_non_ignore else torch.ones_like(self._valid)
        # As in CrossEntropyLoss: with class weights, a label that is no class counts nothing.
        counted = counted if loss.class_weight is None else counted & is_class
        self._sums = torch.stack((weights.new_zeros(()), (weights[self._labels] * counted).sum()))

    def __call__(self, rows: slice, columns: slice, logits: Tensor) -> None:
        """Add a block of logits, (rows, K, columns)."""
        index = self._labels[rows, columns]
        shares = logits.log_softmax(1)
        loss = -self._direct[index] * shares.gather(1, index[:, None])[:, 0]
        if self._spread is not None:
            loss -= self._spread @ shares
        loss.masked_fill_(self._wrong[rows, columns], float('nan'))
        self._sums[0] += loss.mul_(self._valid[rows, columns]).sum()

    @property
    def terms(self) -> Tensor:
        """Sum of the losses and what a mean divides by: (2,), float32 or float64."""
        return self._sums
