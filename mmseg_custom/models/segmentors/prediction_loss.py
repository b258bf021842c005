"""The loss of a prediction, from the blocks of logits that its class map is made of."""

import torch
from mmseg.models.losses.cross_entropy_loss import CrossEntropyLoss as UpstreamCrossEntropyLoss
from mmseg.structures import SegDataSample
from torch import Tensor, nn


def softmax_loss(head: nn.Module) -> UpstreamCrossEntropyLoss | None:
    """The first softmax cross entropy that a decode head is trained with; None without one."""
    losses = getattr(head, 'loss_decode', None)
    for loss in losses if isinstance(losses, nn.ModuleList) else [losses]:
        if isinstance(loss, UpstreamCrossEntropyLoss) and not (loss.use_sigmoid or loss.use_mask):
            return loss
    return None


class PredictionLoss:
    """Cross entropy of one picture's final logits, summed block by block.

    Class weights, label smoothing, ``avg_non_ignore`` and ``loss_weight`` are the head's. A label
    that is neither a class nor ignored makes the loss NaN; metrics say which file holds it.

    Args:
        head: a decode head with a :func:`softmax_loss`.
        sample: with ``gt_sem_seg``, integers (1, H, W): classes or the head's ``ignore_index``.
        like: a tensor of the logits' device and dtype; half precision is computed in single.
    """

    def __init__(self, head: nn.Module, sample: SegDataSample, like: Tensor) -> None:
        loss, num_classes = softmax_loss(head), head.out_channels
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        ignore_index = 255 if head.ignore_index is None else head.ignore_index
        labels = sample.gt_sem_seg.data.squeeze(0).to(like.device)
        self._valid = labels != ignore_index
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
