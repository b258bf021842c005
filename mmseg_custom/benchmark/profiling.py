"""Which operators a step spends its time in."""

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

STEPS = 3


def operator_shares(step: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Profile a step with PyTorch's profiler.

    Args:
        step: is called once to warm up, and three times under the profiler.
        device: whose time is counted.

    Returns:
        Share of the operators' time, 0 to 1, that each operator takes itself, the largest first.
    """
    step()
    on_gpu = device.type == 'cuda'
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiler:
        for _ in range(STEPS):
            step()
        if on_gpu:
            torch.cuda.synchronize(device)
    times = {
        event.key: event.self_device_time_total if on_gpu else event.self_cpu_time_total
        for event in profiler.key_averages()
    }
    total = sum(times.values())
    ranked = sorted(times.items(), key=lambda item: item[1], reverse=True)
    return {name: time / total for name, time in ranked if time}
