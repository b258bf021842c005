"""mmseg's ``CrossEntropyLoss``, with label smoothing and without the batch's full-size logits."""

import torch
import torch.nn.functional as F
from mmseg.models.losses.cross_entropy_loss import CrossEntropyLoss as UpstreamCrossEntropyLoss
from mmseg.models.losses.utils import weight_reduce_loss
from torch import Tensor

from mmseg_custom.models.losses.low_memory_cross_entropy import upsampled_cross_entropy
from mmseg_custom.registry import MODELS

# What mmseg adds to divisors, so that a batch without a valid pixel has loss 0.
EPSILON = torch.finfo(torch.float32).eps
# PyTorch's default, which is no label.
IGNORE_NOTHING = -100


@MODELS.register_module()
class CrossEntropyLoss(UpstreamCrossEntropyLoss):
    """Cross entropy with mmseg's arguments and numbers, and label smoothing.

    Decode heads call :meth:`at_label_size` where :attr:`resizes` allows it; everything else calls
    the module as mmseg does.

    With ``avg_non_ignore=False``, mmseg's default, the mean divides by all pixels, ignored ones
    included. With class weights it divides by the sum of the labels' weights; an ignore index that
    is no class has none, so it counts 0 (mmseg stops there with an index error).

    Args:
        use_sigmoid: binary cross entropy per class, as in mmseg.
        use_mask: mask cross entropy, as in mmseg.
        reduction: 'mean', 'sum' or 'none'.
        class_weight: one factor per class, or the path of a file that holds them.
        loss_weight: factor of the result.
        loss_name: name in the log; only names that start with ``loss_`` are trained.
        avg_non_ignore: whether the mean leaves ignored pixels out.
        label_smoothing: share of the target spread evenly over the classes, 0..1, as in
            ``F.cross_entropy``; softmax only.

    Raises:
        ValueError: ``label_smoothing`` is outside 0..1, or comes with sigmoid or mask loss.
    """

    def __init__(
        self,
        use_sigmoid: bool = False,
        use_mask: bool = False,
        reduction: str = 'mean',
        class_weight: list[float] | str | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_ce',
        avg_non_ignore: bool = False,
        label_smoothing: float = 0.0,
    ):
        super().__init__(
            use_sigmoid, use_mask, reduction, class_weight, loss_weight, loss_name, avg_non_ignore
        )
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f'label_smoothing must lie in 0..1, got {label_smoothing}')
        if label_smoothing and (use_sigmoid or use_mask):
            raise ValueError(
                f'label_smoothing={label_smoothing} needs the softmax loss; set it to 0 with '
                'use_sigmoid or use_mask'
            )
        self.label_smoothing = label_smoothing

    @property
    def resizes(self) -> bool:
        """Whether :meth:`at_label_size` computes what this loss (or a subclass of it) means."""
        return (
            not (self.use_sigmoid or self.use_mask)
            and self.reduction in ('mean', 'sum')
            and type(self).forward is CrossEntropyLoss.forward
        )

    def at_label_size(
        self, logits: Tensor, labels: Tensor, ignore_index: int, align_corners: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Loss and accuracy of logits resized to the labels' size, in bounded memory.

        Args:
            logits: (N, K, h, w), floating point.
            labels: (N, H, W), integers 0..K-1 or ``ignore_index``.
            ignore_index: label of pixels without a class.
            align_corners: of the bilinear resize.

        Returns:
            The loss, shape (), float32 (float64 for float64 logits), and the percentage of valid
            pixels whose label has the largest logit, shape (1,), float32. A tie is not counted.

        Raises:
            ValueError: see :func:`upsampled_cross_entropy`.
        """
        terms = upsampled_cross_entropy(
            logits, labels, ignore_index, self.class_weight, self.label_smoothing, align_corners
        )
        loss = terms.loss_sum
        if self.reduction == 'mean':
            weight = terms.valid_weight if self.avg_non_ignore else terms.total_weight
            loss = loss / (weight + EPSILON)
        correct, valid = terms.num_correct.float(), terms.num_valid.float()
        accuracy = (correct + EPSILON) * (100.0 / (valid + EPSILON))
        return self.loss_weight * loss, accuracy.reshape(1)

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
        ignore_index: int | None = IGNORE_NOTHING,
        **kwargs,
    ) -> Tensor:
        """Loss of logits that have the labels' size already.

        Args:
            cls_score: (N, K, ...) logits.
            label: (N, ...) integers; for sigmoid also (N, K, ...) one-hot.
            weight: factor of each element's loss, of the labels' shape.
            avg_factor: divisor of the mean instead of the one that the class describes.
            reduction_override: instead of ``reduction``.
            ignore_index: label of elements without a class; None where every one has a class.
            **kwargs: passed to mmseg's sigmoid and mask losses.

        Raises:
            ValueError: ``reduction_override`` is unknown.
        """
        if self.use_sigmoid or self.use_mask:
            return super().forward(
                cls_score, label, weight, avg_factor, reduction_override, ignore_index, **kwargs
            )
        if ignore_index is None:
            ignore_index = IGNORE_NOTHING
        reduction = reduction_override or self.reduction
        if reduction not in ('none', 'mean', 'sum'):
            raise ValueError(f"reduction must be 'none', 'mean' or 'sum', got {reduction!r}")
        class_weight = None
        if self.class_weight is not None:
            class_weight = cls_score.new_tensor(self.class_weight)
        loss = F.cross_entropy(
            cls_score,
            label,
            weight=class_weight,
            reduction='none',
            ignore_index=ignore_index,
            label_smoothing=self.label_smoothing,
        )
        if avg_factor is None and reduction == 'mean':
            avg_factor = self._divisor(label, class_weight, ignore_index)
            # Half precision cannot count pixels, and float32 is too coarse for float64 losses.
            avg_factor = avg_factor.to(torch.promote_types(loss.dtype, torch.float32))
        weight = None if weight is None else weight.float()
        return self.loss_weight * weight_reduce_loss(loss, weight, reduction, avg_factor)

    def _divisor(self, label: Tensor, class_weight: Tensor | None, ignore_index: int) -> Tensor:
        """What the mean divides by; see the class."""
        counted = torch.ones_like(label, dtype=torch.bool)
        if self.avg_non_ignore:
            counted = label != ignore_index
        if class_weight is None:
            return counted.sum()
        counted &= (label >= 0) & (label < len(class_weight))
        return class_weight[label.clamp(0, len(class_weight) - 1)].mul(counted).sum()

    def extra_repr(self) -> str:
        """Arguments that the module's printed form shows."""
        return f'{super().extra_repr()}, label_smoothing={self.label_smoothing}'
