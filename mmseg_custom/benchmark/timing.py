"""Interleaved timing: A B A B ..., so that what slows the machine slows both sides."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch


@dataclass(frozen=True)
class Ratio:
    """How many times as long another contender takes.

    Attributes:
        median: ratio of the medians of all rounds.
        minimum: smallest ratio within one round.
        maximum: largest ratio within one round.
    """

    median: float
    minimum: float
    maximum: float


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, by contender, one number per round."""

    seconds: dict[str, list[float]]

    def median(self, name: str) -> float:
        """Median seconds of a contender over all rounds."""
        return median(self.seconds[name])

    def ratio(self, other: str, name: str = 'ours') -> Ratio:
        """Time of ``other`` over the time of ``name``: above 1 means that ``name`` is faster."""
        rounds = [b / a for a, b in zip(self.seconds[name], self.seconds[other], strict=True)]
        return Ratio(self.median(other) / self.median(name), min(rounds), max(rounds))


def interleave(
    steps: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    num_warmups: int = 2,
    min_seconds: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
    synchronize: Callable[[], object] = lambda: None,
) -> Timing:
    """Time each step once per round, one after the other.

    Args:
        steps: what to time, by name; the order is that of the rounds.
        rounds: number of measurements of each step.
        num_warmups: calls of each step before the first round.
        min_seconds: a measurement repeats a step so often that it lasts about this long; from the
            last warm-up call.
        clock: returns seconds.
        synchronize: waits until the device has done what it was given.

    Raises:
        ValueError: ``rounds`` is below 1.
    """
    if rounds < 1:
        raise ValueError(f'expected at least 1 round, got {rounds}; set --rounds 1 or more')

    def measure(step: Callable[[], object], calls: int) -> float:
        synchronize()
        start = clock()
        for _ in range(calls):
            step()
        synchronize()
        return (clock() - start) / calls

    calls = dict.fromkeys(steps, 1)
    for _ in range(num_warmups):
        for name, step in steps.items():
            seconds = measure(step, 1)
            calls[name] = max(1, math.ceil(min_seconds / seconds)) if seconds > 0 else 1
    seconds = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            seconds[name].append(measure(step, calls[name]))
    return Timing(seconds)


def synchronizer(device: torch.device) -> Callable[[], object]:
    """Return what waits for ``device``; nothing has to be waited for on a CPU."""
    return torch.cuda.synchronize if device.type == 'cuda' else lambda: None


@dataclass(frozen=True)
class Ceilings:
    """What the machine can do.

    Attributes:
        matmul_flops: FLOP/s of a large square matrix product in the benchmark's dtype.
        copy_bytes: bytes read and written per second by a large copy.
    """

    matmul_flops: float
    copy_bytes: float


def measure_ceilings(
    device: torch.device,
    dtype: torch.dtype,
    *,
    side: int | None = None,
    num_bytes: int | None = None,
    repeats: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> Ceilings:
    """Measure the best of several large matrix products and copies.

    Args:
        device: where.
        dtype: of the matrices.
        side: of the square matrices; 8192 on a GPU, 2048 on a CPU.
        num_bytes: that are copied; 1 GiB on a GPU, 128 MiB on a CPU: far more than its caches.
        repeats: number of measurements of which the fastest counts.
        clock: returns seconds.
    """
    is_gpu = device.type == 'cuda'
    side = side or (8192 if is_gpu else 2048)
    num_bytes = num_bytes or (2**30 if is_gpu else 2**27)
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product = torch.empty_like(left)
    source = torch.ones(num_bytes, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    timing = interleave(
        {
            'matmul': lambda: torch.mm(left, right, out=product),
            'copy': lambda: target.copy_(source),
        },
        repeats,
        clock=clock,
        synchronize=synchronizer(device),
    )
    return Ceilings(
        matmul_flops=2 * side**3 / min(timing.seconds['matmul']),
        copy_bytes=2 * num_bytes / min(timing.seconds['copy']),
    )
