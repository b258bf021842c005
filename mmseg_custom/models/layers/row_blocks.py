"""Working on a few rows of a map at a time, so that wide intermediate maps stay in the cache."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

# Numbers in a block: with its input and output it about fits into the caches of two CPU cores.
_BLOCK_NUMBERS = 2**20


def runs_by_rows(module: nn.Module, x: Tensor) -> bool:
    """Whether ``module`` should work by rows: on a CPU, in eval mode, without gradients.

    On a GPU, and when compiled, whole maps are faster; a gradient would need them all anyway; and
    a trace must not fix the number of blocks.
    """
    return not (
        module.training
        or torch.is_grad_enabled()
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or x.device.type != 'cpu'
        or torch.is_autocast_enabled('cpu')
    )


def row_blocks(height: int, numbers_per_row: int) -> Iterator[tuple[int, int]]:
    """Split rows into blocks of almost equal height: the first row of each, and the one after it.

    Args:
        height: number of rows.
        numbers_per_row: numbers in a row of the widest intermediate map.
    """
    num_blocks = min(height, -(-height * numbers_per_row // _BLOCK_NUMBERS))
    edges = [height * block // num_blocks for block in range(num_blocks + 1)]
    return pairwise(edges)
