"""The loss of a prediction, from the blocks of logits that its class map is made of."""

import torch
from mmseg.models.losses.cross_entropy_loss import CrossEntropyLoss as UpstreamCrossEntropyLoss
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_custom.models.losses.low_memory_cross_entropy import PixelLoss, check_labels


def softmax_loss(head: nn.Module) -> UpstreamCrossEntropyLoss | None:
    """The first softmax cross entropy that a decode head is trained with; None without one."""
    losses = getattr(head, 'loss_decode', None)
    for loss in losses if isinstance(losses, nn.ModuleList) else [losses]:
        if isinstance(loss, UpstreamCrossEntropyLoss) and not (loss.use_sigmoid or loss.use_mask):
            return loss
    return None


class PredictionLoss:
    """Cross entropy of one picture's final logits, summed block by block.

    Class weights, label smoothing, ``avg_non_ignore`` and ``loss_weight`` are the head's.

    Args:
        head: a decode head with a :func:`softmax_loss`.
        sample: with ``gt_sem_seg``, integers (1, H, W): classes or the head's ``ignore_index``.
        like: a tensor of the logits' device and dtype; half precision is computed in single.

    Raises:
        ValueError: on a CPU, a label is neither a class nor ``ignore_index``. On a GPU the loss
            becomes NaN.
    """

    def __init__(self, head: nn.Module, sample: SegDataSample, like: Tensor) -> None:
        self.loss = softmax_loss(head)
        self.labels = sample.gt_sem_seg.data.squeeze(0).to(like.device)
        ignore_index = 255 if head.ignore_index is None else head.ignore_index
        check_labels(self.labels, head.out_channels, ignore_index)
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        self._pixel_loss = PixelLoss(
            head.out_channels,
            ignore_index,
            self.loss.class_weight,
            getattr(self.loss, 'label_smoothing', 0.0),
            like.new_empty(0, dtype=dtype),
        )
        self._sums = like.new_zeros(2, dtype=dtype)

    def __call__(self, rows: slice, columns: slice, logits: Tensor) -> None:
        """Add a block of logits, (rows, K, columns), which is overwritten."""
        loss, weights, _ = self._pixel_loss(logits, self.labels[rows, columns], False)
        weight = weights[0 if self.loss.avg_non_ignore else 1]
        self._sums += torch.stack((self.loss.loss_weight * loss, weight))

    @property
    def terms(self) -> Tensor:
        """Sum of the losses and what a mean divides by: (2,), float32 or float64."""
        return self._sums
