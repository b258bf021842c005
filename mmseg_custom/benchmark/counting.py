"""What a step costs: FLOPs, bytes moved, and peak memory."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

aten = torch.ops.aten


@dataclass(frozen=True)
class Cost:
    """What one call of a step computes and moves.

    Attributes:
        flops: multiplications and additions (two per multiply-add) of convolutions, matrix
            products and attention, as this implementation executes them.
        num_bytes: bytes of all tensors that operators read and write; views cost nothing. It
            assumes that nothing stays in a cache and that no operators are fused.
    """

    flops: int
    num_bytes: int


def count_cost(step: Callable[[], object]) -> Cost:
    """Run ``step`` once, uncompiled, and count its FLOPs and the bytes that it moves.

    Use ``torch.no_grad`` in the step, not inference mode, in
    which operators reach the counters undivided.
    """
    traffic = _Traffic()
    with counting_flops() as counter, traffic:
        step()
    return Cost(counter.get_total_flops(), traffic.num_bytes)


def counting_flops() -> FlopCounterMode:
    """PyTorch's counter of FLOPs, by module, while the block runs.

    It does not know the attention kernel that PyTorch uses on a CPU, so its two operators are added
    here.
    """
    attention = {
        aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
    }
    return FlopCounterMode(display=False, custom_mapping=attention)


def _attention_flops(query, key, value, *args, out_shape=None, **kwargs) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward_flops(grad_out, query, key, value, *args, out_shape=None, **kwargs) -> int:
    return sdpa_backward_flop_count(grad_out, query, key, value)


class _Traffic(TorchDispatchMode):
    """Sums the bytes of all tensors that operators read and write."""

    num_bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(func, torch._ops.OpOverload) and not func.is_view:
            self.num_bytes += sum(map(_num_bytes, _tensors((args, kwargs, out))))
        return out


def _tensors(tree) -> Iterable[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _num_bytes(tensor: Tensor) -> int:
    """Bytes of a tensor; an expanded one has no more than it stores."""
    return min(tensor.numel() * tensor.itemsize, tensor.untyped_storage().nbytes())


def peak_bytes(step: Callable[[], object], device: torch.device) -> int:
    """Run ``step`` once and return the most memory it held at one time beyond what was there.

    On a GPU by the allocator's own statistics. On a CPU from PyTorch's profiler, which sees each
    allocation and release of the CPU allocator, temporaries inside operators included; scratch
    memory that oneDNN and BLAS allocate for themselves is not seen, on either side of a comparison.
    """
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    # The profiler's library writes two lines to stderr unless it is told to be silent.
    os.environ.setdefault('KINETO_LOG_LEVEL', '99')
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    changes = sorted(
        (event.start_ns(), event.nbytes())
        for event in profiler.profiler.kineto_results.events()
        if event.name() == '[memory]' and event.device_type() == torch.autograd.DeviceType.CPU
    )
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def total_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes that tensors hold; storage that several share counts once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())
