"""The random generators of a process: seed them, keep them, save and restore them."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_generators(*numbers: int) -> None:
    """Seed Python's, NumPy's and torch's CPU generator from whole numbers.

    A GPU's generator is left alone: it belongs to the model, not to the data.

    Args:
        numbers: from 0 on; other numbers or another order give an unrelated seed.
    """
    words = np.random.SeedSequence(numbers).generate_state(3, np.uint64).tolist()
    random.seed(words[0])
    np.random.seed(words[1] % 2**32)
    torch.default_generator.manual_seed(words[2])


@contextmanager
def kept_generators() -> Iterator[None]:
    """Give Python's, NumPy's and torch's CPU generator back as they were found."""
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        torch.set_rng_state(kept[2])


def generator_states() -> dict:
    """The state of every generator of this process, in types that a checkpoint may hold.

    Returns:
        ``python`` and ``numpy``: numbers and int64 tensors; ``torch`` and, where a GPU is in use,
        ``cuda``: uint8 tensors on the CPU.
    """
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    states = {
        'python': [version, torch.tensor(words, dtype=torch.int64), gauss],
        'numpy': [
            name,
            torch.from_numpy(keys.astype(np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ],
        'torch': torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():
        states['cuda'] = torch.cuda.get_rng_state()
    return states


def restore_generators(states: dict) -> None:
    """Set every generator to what :func:`generator_states` returned.

    Args:
        states: tensors may lie on any device; a GPU's state is skipped where there is no GPU.
    """
    version, words, gauss = states['python']
    random.setstate((version, tuple(words.tolist()), gauss))
    name, keys, position, has_gauss, cached = states['numpy']
    keys = keys.cpu().numpy().astype(np.uint32)
    np.random.set_state((name, keys, position, has_gauss, cached))
    torch.set_rng_state(states['torch'].cpu())
    if 'cuda' in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states['cuda'].cpu())
