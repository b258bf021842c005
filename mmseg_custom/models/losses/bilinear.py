"""Bilinear interpolation along one axis as small matrix products, block by block.

The numbers are those of ``torch.nn.functional.interpolate(mode='bilinear')``; a two-dimensional
resize is one pass along each axis. A block of neighbouring outputs reads a short run of inputs, so
each block is one small dense matrix: the forward pass multiplies with it, the backward pass with
its transpose, and neither needs anything outside the block.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor


class Block(NamedTuple):
    """Outputs ``start:stop`` of an axis are ``weights`` times its inputs ``first:last``.

    ``weights`` has shape (stop - start, last - first); ``None`` stands for the identity.
    """

    start: int
    stop: int
    first: int
    last: int
    weights: Tensor | None


@lru_cache(maxsize=32)
def bilinear_blocks(
    num_inputs: int,
    num_outputs: int,
    align_corners: bool,
    block_size: int,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[Block, ...]:
    """Split an axis into blocks of outputs, each with the inputs it reads and their weights.

    Args:
        num_inputs: length before the resize, at least 1.
        num_outputs: length after the resize, at least 1; larger or smaller.
        align_corners: as in ``interpolate``.
        block_size: outputs in a block; the last block may have fewer.
        dtype: of the weights; they are computed in float64.
        device: of the weights.
    """
    ranges = [
        (start, min(start + block_size, num_outputs)) for start in range(0, num_outputs, block_size)
    ]
    if num_inputs == num_outputs:
        return tuple(Block(start, stop, start, stop, None) for start, stop in ranges)
    outputs = torch.arange(num_outputs, dtype=torch.float64)
    if align_corners:
        positions = outputs * ((num_inputs - 1) / max(num_outputs - 1, 1))
    else:
        positions = ((outputs + 0.5) * (num_inputs / num_outputs) - 0.5).clamp_min(0)
    left = positions.floor().long().clamp_max(num_inputs - 1)
    right = (left + 1).clamp_max(num_inputs - 1)
    fraction = positions - left
    blocks = []
    for start, stop in ranges:
        first, last = int(left[start]), int(right[stop - 1]) + 1
        weights = torch.zeros(stop - start, last - first, dtype=torch.float64)
        for index, share in ((left, 1 - fraction), (right, fraction)):
            weights.scatter_add_(1, index[start:stop, None] - first, share[start:stop, None])
        blocks.append(Block(start, stop, first, last, weights.to(device, dtype)))
    return tuple(blocks)
