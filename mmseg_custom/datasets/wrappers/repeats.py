"""How often each sample is drawn in a pass."""

from collections.abc import Sequence

import numpy as np


class Repeats:
    """A pass in which sample ``i`` occurs ``factors[i]`` times on average.

    The whole part of a factor is kept in every pass. What is left of all factors together fills
    further slots, each drawn from its own share of the samples, so that no pass is far from the
    average. Draws take NumPy's global generator, which
    :class:`~mmseg_custom.engine.samplers.SeededDataset` seeds for each sample: they follow from
    seed, pass and slot, as the augmentation does.

    Args:
        factors: one per sample, from 0 on.

    Raises:
        ValueError: no factors, or a sum that rounds to 0.
    """

    def __init__(self, factors: Sequence[float] | np.ndarray) -> None:
        factors = np.asarray(factors, np.float64)
        whole = np.floor(factors).astype(np.int64)
        self.fixed = np.repeat(np.arange(len(factors)), whole)
        self.cumulative = np.cumsum(factors - whole)
        left = float(self.cumulative[-1]) if len(factors) else 0.0
        self.num_drawn = round(left)
        if not len(self):
            raise ValueError('the samples are repeated 0 times together; use larger factors')

    def __len__(self) -> int:
        """Number of slots."""
        return len(self.fixed) + self.num_drawn

    def sample_of(self, slot: int) -> int:
        """Return the sample of a slot, 0 <= slot < ``len(self)``."""
        drawn = slot - len(self.fixed)
        if drawn < 0:
            return int(self.fixed[slot])
        share = (drawn + np.random.random_sample()) / self.num_drawn * self.cumulative[-1]
        found = np.searchsorted(self.cumulative, share, side='right')
        return min(int(found), len(self.cumulative) - 1)
