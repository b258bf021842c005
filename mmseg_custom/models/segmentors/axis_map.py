"""Linear maps along one axis of an image: resize, crop, flip, weigh, and chains of these.

Bilinear resizing, cropping, flipping and the average over a grid of windows are separable: what
they do together is one small linear map per axis. Chained maps stay small (each output is a sum of
2 or 4 inputs), so any rows of the final result can be computed without the images in between.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class AxisMap:
    """Each output position as a weighted sum of a few input positions.

    Attributes:
        index: int64 input positions of shape (outputs, taps).
        weight: float64 weights of shape (outputs, taps); 0 where a position does not count.
    """

    index: np.ndarray
    weight: np.ndarray

    @classmethod
    def identity(cls, size: int) -> 'AxisMap':
        """Map ``size`` positions to themselves."""
        return cls(np.arange(size)[:, None], np.ones((size, 1)))

    @classmethod
    def resize(cls, inputs: int, outputs: int, align_corners: bool, dtype: torch.dtype):
        """Interpolate linearly as ``torch.nn.functional.interpolate`` does.

        Args:
            inputs: number of input positions.
            outputs: number of output positions.
            align_corners: whether the outermost positions coincide.
            dtype: of the tensors; coordinates are rounded to it as torch rounds them.

        Returns:
            The map, from ``inputs`` to ``outputs`` positions.
        """
        if inputs == outputs:
            return cls.identity(inputs)
        real = np.float64 if dtype == torch.float64 else np.float32
        position = np.arange(outputs).astype(real)
        if align_corners:
            scale = real(inputs - 1) / real(outputs - 1) if outputs > 1 else real(0)
            position = scale * position
        else:
            scale = real(inputs) / real(outputs)
            position = np.maximum(scale * (position + real(0.5)) - real(0.5), real(0))
        lower = np.minimum(position.astype(np.int64), inputs - 1)
        upper = np.minimum(lower + 1, inputs - 1)
        fraction = np.clip(position - lower.astype(real), 0, 1).astype(np.float64)
        return cls(np.stack((lower, upper), 1), np.stack((1 - fraction, fraction), 1))

    def __len__(self) -> int:
        return len(self.index)

    def then(self, after: 'AxisMap') -> 'AxisMap':
        """Return the map that does this one first and ``after`` second."""
        index = self.index[after.index].reshape(len(after), -1)
        weight = (self.weight[after.index] * after.weight[:, :, None]).reshape(len(after), -1)
        return AxisMap(index, weight)

    def select(self, positions: slice) -> 'AxisMap':
        """Keep some outputs: ``slice(3, 9)`` crops, ``slice(None, None, -1)`` flips."""
        return AxisMap(self.index[positions], self.weight[positions])

    def place(self, start: int, size: int, count: np.ndarray) -> 'AxisMap':
        """Put the outputs into a longer axis of zeros and divide by ``count``.

        Args:
            start: position of the first output in the longer axis.
            size: length of the longer axis.
            count: number of windows that cover each of its positions, of shape (size,).
        """
        stop = start + len(self)
        index = np.zeros((size, self.index.shape[1]), dtype=np.int64)
        weight = np.zeros(index.shape)
        index[start:stop] = self.index
        weight[start:stop] = self.weight / count[start:stop, None]
        return AxisMap(index, weight)

    def operator(self, like: Tensor) -> 'AxisOperator | None':
        """Prepare the map for tensors of the dtype and device of ``like``.

        Returns:
            The operator, or ``None`` if no input counts (every output is zero).
        """
        used = self.weight != 0
        if not used.any():
            return None
        start, stop = int(self.index[used].min()), int(self.index[used].max()) + 1
        index = np.where(used, self.index - start, 0)
        if index.shape[1] > 1 and _may_multiply_matrices(like):
            matrix = np.zeros((len(self), stop - start))
            np.add.at(matrix, (np.arange(len(self))[:, None], index), self.weight)
            return AxisOperator(start, stop, None, torch.from_numpy(matrix).to(like))
        index = torch.from_numpy(index.T.copy()).to(like.device)
        return AxisOperator(start, stop, index, torch.from_numpy(self.weight.T.copy()).to(like))


@dataclass(frozen=True)
class AxisOperator:
    """An :class:`AxisMap` ready to be applied.

    Attributes:
        start: first input position that counts.
        stop: one past the last.
        index: int64 of shape (taps, outputs), counted from ``start``, or ``None`` for a matrix.
        weight: of shape (taps, outputs), or the matrix of shape (outputs, stop - start).
    """

    start: int
    stop: int
    index: Tensor | None
    weight: Tensor

    def on_first_axis(self, x: Tensor) -> Tensor:
        """Map x of shape (stop - start, ...) to (outputs, ...)."""
        if self.index is None:
            return torch.mm(self.weight, x.flatten(1)).unflatten(1, x.shape[1:])
        weight = self.weight.view(*self.weight.shape, *[1] * (x.ndim - 1))
        return self._gather(x, 0, weight)

    def on_last_axis(self, x: Tensor) -> Tensor:
        """Map x of shape (..., stop - start) to (..., outputs)."""
        if self.index is None:
            return torch.mm(x.flatten(0, -2), self.weight.t()).unflatten(0, x.shape[:-1])
        return self._gather(x, -1, self.weight)

    def _gather(self, x: Tensor, dim: int, weight: Tensor) -> Tensor:
        out = x.index_select(dim, self.index[0]).mul_(weight[0])
        for tap in range(1, len(weight)):
            out.addcmul_(x.index_select(dim, self.index[tap]), weight[tap])
        return out


def _may_multiply_matrices(x: Tensor) -> bool:
    """Whether matrix products on this device keep the full precision of ``x``.

    They are the fastest way on a CPU. On a GPU they may run in TF32, and both may be told to trade
    precision for speed; there a gather is exact and fast enough.
    """
    return x.device.type == 'cpu' and torch.get_float32_matmul_precision() == 'highest'
