"""How probable a prediction is, from the blocks of logits that its class map is made of."""

import torch
from torch import Tensor


class Confidence:
    """Softmax probability of each pixel's class, filled block by block.

    Args:
        size: (height, width) of the picture.
        like: a tensor of the logits' device.
    """

    def __init__(self, size: tuple[int, int], like: Tensor) -> None:
        self.map = torch.empty(size, dtype=torch.float32, device=like.device)

    def __call__(self, rows: slice, columns: slice, logits: Tensor) -> None:
        """Add a block of logits, (rows, K, columns)."""
        largest = logits.amax(dim=1, keepdim=True)
        self.map[rows, columns] = (logits - largest).exp_().sum(dim=1).reciprocal_()
