"""Cross entropy of upsampled logits that never holds the upsampled logits of a batch.

mmseg resizes the logits of the whole batch to label resolution and keeps them, their log-softmax
and both gradients: for 150 classes, 8 pictures and 512x512 that is several GiB. Here one strip of
output rows of one picture is interpolated, its loss and its gradient are computed, and the gradient
goes back to the resolution of the logits before the next strip starts. Nothing is approximated, and
the backward pass is one multiplication.

The interpolation is two matrix products per strip (:mod:`.bilinear`). The layout inside a strip is
(row, class, column): reductions over classes then run along contiguous columns, which vectorises.

One opaque operator (``torch.ops.mmseg_custom.upsampled_cross_entropy``), so that ``torch.compile``
neither unrolls the loop nor breaks the graph.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from mmseg_custom.models.losses.bilinear import Block, bilinear_blocks

# Elements in a strip. A few MiB stay near the cache of a CPU core and still make each operation
# long against its overhead; a GPU wants enough work per kernel to fill it.
STRIP_ELEMENTS = {'cpu': 1 << 20, 'cuda': 1 << 25}
# Output columns that one product interpolates: the fewest inputs per output at a good speed.
COLUMN_BLOCK = 128


class CrossEntropyTerms(NamedTuple):
    """What :func:`upsampled_cross_entropy` returns; the scalars have shape ().

    Attributes:
        loss_sum: sum over pixels of the weighted loss; float64 for float64 logits, else float32.
        valid_weight: sum of class weights over pixels that are not ignored; their number without
            class weights. Same dtype.
        total_weight: the same over all pixels. An ignored pixel counts the weight of its label if
            that is a class, 0 if it is not; without class weights it counts 1.
        num_correct: pixels, not ignored, whose label alone has the largest logit; int64.
        num_valid: pixels that are not ignored; int64.
    """

    loss_sum: Tensor
    valid_weight: Tensor
    total_weight: Tensor
    num_correct: Tensor
    num_valid: Tensor


def upsampled_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    ignore_index: int = 255,
    class_weight: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    align_corners: bool = False,
) -> CrossEntropyTerms:
    """Sum the cross entropy of logits, resized bilinearly to the labels' size, over all pixels.

    Equals ``F.cross_entropy(F.interpolate(logits, size, mode='bilinear'), labels, ...)`` summed,
    computed in float32 for half-precision logits, also under autocast. The gradient is computed in
    the forward pass where one is needed.

    Args:
        logits: (N, K, h, w), floating point, any memory format.
        labels: (N, H, W), integers: classes 0..K-1 or ``ignore_index``.
        ignore_index: label of pixels that count nothing.
        class_weight: K factors of the loss by label.
        label_smoothing: share of the target that is spread evenly over the classes, 0..1.
        align_corners: as in ``F.interpolate``.

    Returns:
        Sums from which any reduction follows; only ``loss_sum`` carries a gradient.

    Raises:
        ValueError: shapes do not fit, ``class_weight`` has another length than K, or, on a CPU,
            a label is neither a class nor ``ignore_index``. On a GPU that check would wait for the
            device; there such a label makes ``loss_sum`` NaN.
    """
    if logits.ndim != 4 or labels.ndim != 3 or len(logits) != len(labels):
        raise ValueError(
            'expected logits (N, K, h, w) and labels (N, H, W), got '
            f'{tuple(logits.shape)} and {tuple(labels.shape)}'
        )
    if class_weight is not None and len(class_weight) != logits.shape[1]:
        raise ValueError(
            f'class_weight has {len(class_weight)} entries but the logits have {logits.shape[1]} '
            'classes; give one weight per class'
        )
    loss_sum, weights, counts, _ = _operator(
        logits,
        labels,
        ignore_index,
        None if class_weight is None else [float(weight) for weight in class_weight],
        float(label_smoothing),
        align_corners,
        torch.is_grad_enabled() and logits.requires_grad,
    )
    return CrossEntropyTerms(loss_sum, *weights.detach().unbind(), *counts.unbind())


@torch.library.custom_op('mmseg_custom::upsampled_cross_entropy', mutates_args=())
def _operator(
    logits: Tensor,
    labels: Tensor,
    ignore_index: int,
    class_weight: list[float] | None,
    label_smoothing: float,
    align_corners: bool,
    with_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    check_labels(labels, logits.shape[1], ignore_index)
    with torch.autocast(logits.device.type, enabled=False), _full_precision_products():
        strips = _Strips(logits, labels.shape[1:], align_corners, with_gradient)
        pixels = _PixelLoss(
            logits.shape[1], ignore_index, class_weight, label_smoothing, strips.like
        )

        def sample_sums(sample: int) -> tuple[Tensor, ...]:
            parts = []
            # Threads have a gradient mode of their own.
            with torch.no_grad():
                for rows in strips.rows:
                    scores = strips.read(sample, rows)
                    part = labels[sample, rows.start : rows.stop]
                    parts.append(pixels(scores, part, with_gradient))
                    if with_gradient:
                        strips.write(sample, rows, scores)
                return tuple(torch.stack(values).sum(0) for values in zip(*parts))

        sums = _map_samples(sample_sums, len(labels), labels.device)
        loss_sum, weights, counts = (torch.stack(values).sum(0) for values in zip(*sums))
        return loss_sum, weights, counts, strips.gradient


def _map_samples(function: Callable, count: int, device: torch.device) -> list:
    """Results of ``function`` for 0..count-1; on a CPU, samples run side by side.

    A strip takes some thirty short operations. Split over all cores each, they would meet at a
    barrier after every one, which on a busy machine costs more than the work; samples never wait
    for each other.
    """
    num_threads = torch.get_num_threads()
    workers = min(count, num_threads) if device.type == 'cpu' else 1
    if workers <= 1:
        return [function(sample) for sample in range(count)]
    share = num_threads // workers
    try:
        with ThreadPoolExecutor(workers, 'loss', torch.set_num_threads, (share,)) as pool:
            return list(pool.map(function, range(count)))
    finally:
        # The setting is this thread's own, but also the start value of threads made later.
        torch.set_num_threads(num_threads)


@_operator.register_fake
def _(
    logits, labels, ignore_index, class_weight, label_smoothing, align_corners, with_gradient
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dtype = _loss_dtype(logits)
    gradient = torch.empty_like(logits, dtype=dtype) if with_gradient else logits.new_empty(0)
    return (
        logits.new_empty((), dtype=dtype),
        logits.new_empty(2, dtype=dtype),
        logits.new_empty(2, dtype=torch.int64),
        gradient,
    )


def _keep_gradient(ctx, inputs, output) -> None:
    # Without this every backward pass would fill a tensor of the gradient's size with zeros.
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[3])
    ctx.dtype = inputs[0].dtype


def _scale_gradient(ctx, grad_loss_sum, grad_weights, grad_counts, grad_gradient):
    if grad_gradient is not None:
        raise RuntimeError('upsampled_cross_entropy can be differentiated once only')
    gradient = None
    if grad_loss_sum is not None:
        gradient = (ctx.saved_tensors[0] * grad_loss_sum).to(ctx.dtype)
    return gradient, None, None, None, None, None, None


_operator.register_autograd(_scale_gradient, setup_context=_keep_gradient)


def check_labels(labels: Tensor, num_classes: int, ignore_index: int) -> None:
    """Raise ``ValueError`` for labels that are no class and not ``ignore_index``; CPU only."""
    if labels.device.type != 'cpu' or labels.numel() == 0:
        return
    low, high = torch.aminmax(labels)
    if low >= 0 and high < num_classes:
        return
    wrong = (labels < 0) | (labels >= num_classes)
    wrong &= labels != ignore_index
    if wrong.any():
        values = labels[wrong]
        raise ValueError(
            f'label {int(values[0])} is outside the classes 0..{num_classes - 1} '
            f'({values.numel()} such pixels in the batch, num_classes={num_classes}, '
            f'ignore_index={ignore_index}); set num_classes, ignore_index or the label map'
        )


def _loss_dtype(logits: Tensor) -> torch.dtype:
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


@contextmanager
def _full_precision_products():
    """Matrix products in full float32: TF32 or bfloat16 would round the interpolated logits."""
    before = torch.get_float32_matmul_precision()
    if before == 'highest':
        yield
        return
    torch.set_float32_matmul_precision('highest')
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class _Strips:
    """Interpolates strips of rows of one picture and takes their gradients back.

    Args:
        logits: (N, K, h, w).
        size: height and width after the interpolation.
        align_corners: as in ``F.interpolate``.
        with_gradient: whether :meth:`write` is going to be called.
    """

    def __init__(self, logits: Tensor, size: Sequence[int], align_corners: bool, with_gradient):
        _, num_classes, height, width = logits.shape
        dtype, device = _loss_dtype(logits), logits.device
        limit = STRIP_ELEMENTS.get(device.type, STRIP_ELEMENTS['cuda'])
        num_rows = max(1, min(limit // (num_classes * size[1]), size[0]))
        options = (dtype, device)
        self.rows = bilinear_blocks(height, size[0], align_corners, num_rows, *options)
        self.columns = bilinear_blocks(width, size[1], align_corners, COLUMN_BLOCK, *options)
        self.resizes = height != size[0], width != size[1]
        self.logits = logits
        self.size = size
        self.like = logits.new_empty(0, dtype=dtype)
        self.gradient = self.like
        if with_gradient:
            self.gradient = torch.zeros_like(logits, dtype=dtype)

    def read(self, sample: int, rows: Block) -> Tensor:
        """Logits of the strip, (row, class, column), in memory that may be overwritten."""
        # (class, row, column) -> (row, class, column): one low-resolution copy.
        source = self.logits[sample, :, rows.first : rows.last].transpose(0, 1)
        strip = torch.empty(source.shape, dtype=self.like.dtype, device=source.device)
        strip.copy_(source)
        if self.resizes[1]:
            flat = strip.flatten(0, 1)
            wide = strip.new_empty(*strip.shape[:2], self.size[1])
            for columns in self.columns:
                torch.mm(
                    flat[:, columns.first : columns.last],
                    columns.weights.t(),
                    out=wide.flatten(0, 1)[:, columns.start : columns.stop],
                )
            strip = wide
        if self.resizes[0]:
            strip = (rows.weights @ strip.flatten(1)).unflatten(1, strip.shape[1:])
        return strip

    def write(self, sample: int, rows: Block, gradient: Tensor) -> None:
        """Add the strip's gradient, in :meth:`read`'s layout, to the logits' gradient."""
        if self.resizes[0]:
            gradient = (rows.weights.t() @ gradient.flatten(1)).unflatten(1, gradient.shape[1:])
        if self.resizes[1]:
            flat = gradient.flatten(0, 1)
            narrow = gradient.new_zeros(*gradient.shape[:2], self.logits.shape[3])
            for columns in self.columns:
                narrow.flatten(0, 1)[:, columns.first : columns.last].addmm_(
                    flat[:, columns.start : columns.stop], columns.weights
                )
            gradient = narrow
        self.gradient[sample, :, rows.first : rows.last] += gradient.transpose(0, 1)


class _PixelLoss:
    """Loss and gradient of a strip of pixels.

    With p the softmax, w the class weights, e the smoothing, y the label and W = sum(w), a pixel's
    loss is ``scale * logsumexp(scores) - direct * scores[y] - e/K * sum(w * scores)`` with
    ``direct = (1-e) w[y]`` and ``scale = direct + e/K * W``; an ignored pixel has all three at 0.
    """

    def __init__(self, num_classes, ignore_index, class_weight, label_smoothing, like: Tensor):
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.smoothing = label_smoothing
        self.weight = None if class_weight is None else like.new_tensor(class_weight)
        self.spread = None
        if label_smoothing:
            weight = torch.ones_like(like.new_empty(num_classes))
            weight = weight if self.weight is None else self.weight
            self.spread = weight * (label_smoothing / num_classes)

    def __call__(
        self, scores: Tensor, labels: Tensor, with_gradient: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute a strip's sums and write the gradient over its scores.

        Args:
            scores: (row, class, column); afterwards the gradient of the sum of losses, or of no
                meaning without ``with_gradient``.
            labels: (row, column).
            with_gradient: whether the gradient is wanted.

        Returns:
            Sum of losses; weights of valid and of all pixels; counts of correct and valid pixels.
        """
        labels = labels.unsqueeze(1).long()
        valid = labels != self.ignore_index
        is_class = (labels >= 0) & (labels < self.num_classes)
        index = labels.clamp(0, self.num_classes - 1)
        weight, weights = self._weights(index, valid, is_class, scores.dtype)
        direct = weight * (1 - self.smoothing)
        scale, spread_sum = direct, None
        if self.spread is not None:
            mask = valid.to(scores.dtype)
            scale = direct + mask * self.spread.sum()
            spread_sum = (self.spread @ scores).unsqueeze(1) * mask

        # The label's own score is taken out of the strip, so that the maximum of what is left
        # tells whether the label wins, without an argmax.
        label_score = scores.gather(1, index)
        scores.scatter_(1, index, float('-inf'))
        rival = scores.amax(1, keepdim=True)
        correct = (label_score > rival) & valid
        top = torch.maximum(rival, label_score)
        scores.sub_(top).exp_()
        label_share = label_score.sub_(top).exp()
        total = scores.sum(1, keepdim=True).add_(label_share)
        loss = scale * total.log() - direct * label_score
        if self.spread is not None:
            loss += (scale - direct) * top - spread_sum
        if with_gradient:
            share = scale / total
            scores.mul_(share).scatter_(1, index, label_share.mul_(share).sub_(direct))
            if self.spread is not None:
                scores.sub_(mask * self.spread.view(-1, 1))
        counts = torch.stack((correct.sum(), valid.sum()))
        return loss.sum(), weights, counts

    def _weights(self, index, valid, is_class, dtype) -> tuple[Tensor, Tensor]:
        """Weight of each pixel's loss, and the sums of weights of valid and of all pixels."""
        if self.weight is None:
            weight = valid.to(dtype)
            sums = torch.stack((weight.sum(), weight.new_tensor(float(weight.numel()))))
        else:
            weight = self.weight[index] * is_class
            total = weight.sum()
            weight = weight * valid
            sums = torch.stack((weight.sum(), total))
        # Only on a GPU can a label get here that is neither: see check_labels.
        return weight.masked_fill(valid & ~is_class, float('nan')), sums
