"""One endless stream of samples whose order depends on the seed alone."""

import itertools
import math
from collections.abc import Iterator, Sized

import numpy as np
import torch
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

SampleKey = tuple[int, int, int]


class SampleStream(Sampler):
    """Pass after pass over a data set, dealt out to the processes one sample at a time.

    Pass ``e`` is a permutation from (seed, e). The passes follow each other without a gap: position
    ``p`` of the stream is sample ``p % size`` of pass ``p // size``. Rank ``r`` of ``w`` takes the
    positions ``start + r``, ``start + r + w`` and so on, so a global batch holds the same samples
    however many processes share it. A batch in which a pass ends goes on with the next pass: no
    sample is repeated, dropped or left for a short batch.

    mmengine's samplers start at the beginning only, and give each number of processes an order of
    its own.

    Args:
        dataset: anything with a length.
        seed: the same in every process; from 0 on.
        shuffle: False walks through the data set in its own order.

    Attributes:
        start: position of the stream that the next ``iter()`` begins at.
        stop: position that it ends before; None for an endless one.

    Raises:
        ValueError: the data set is empty.
    """

    def __init__(self, dataset: Sized, seed: int, shuffle: bool = True) -> None:
        self.rank, self.world_size = get_dist_info()
        self.size = len(dataset)
        if not self.size:
            raise ValueError('the training data set has 0 samples; check its data_root and filter')
        self.seed = seed
        self.shuffle = shuffle
        self.start = 0
        self.stop: int | None = None

    def __len__(self) -> int:
        """Samples of this process in one pass, rounded up."""
        return math.ceil(self.size / self.world_size)

    def __iter__(self) -> Iterator[SampleKey]:
        """Yield (seed, pass, index), from which the augmentation is seeded."""
        first = self.start + self.rank
        if self.stop is None:
            positions = itertools.count(first, self.world_size)
        else:
            positions = range(first, self.stop, self.world_size)
        current, order = None, []
        for position in positions:
            number, slot = divmod(position, self.size)
            if number != current:
                current, order = number, self.order(number)
            yield self.seed, number, order[slot]

    def order(self, number: int) -> list[int]:
        """The indices of pass ``number`` (from 0), in order."""
        if not self.shuffle:
            return list(range(self.size))
        # Not the sum: seed 1 of pass 0 must not be seed 0 of pass 1.
        words = np.random.SeedSequence((self.seed, number)).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(words[0]))
        return torch.randperm(self.size, generator=generator).tolist()
