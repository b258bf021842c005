"""Memory of this process: keeping what is freed, so that it is not fetched again; its peak."""

import ctypes
import os
import sys

import torch

OPT_OUT = 'MMSEG_CUSTOM_KEEP_MEMORY'
# Names and numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory(in_worker: bool = False) -> bool:
    """Make glibc keep what tensors free instead of returning it to the system.

    By default every tensor of 32 MiB or more is new memory of the system, which zeroes it page by
    page at first use: up to a fifth of a training step's time on a CPU. The process stays at its
    peak until it ends, which is up to a fifth higher. It cannot be undone.
    ``MMSEG_CUSTOM_KEEP_MEMORY=0`` leaves the default.

    Args:
        in_worker: this is a worker of a loader, whose pictures lie in main memory in any case.

    Returns:
        Whether it is set now: not with a GPU, where tensors lie elsewhere, nor without glibc.
    """
    if os.environ.get(OPT_OUT) == '0' or (not in_worker and torch.cuda.is_available()):
        return False
    try:
        set_option = ctypes.CDLL('libc.so.6').mallopt
    except (OSError, AttributeError):
        return False
    wanted = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 * 2**20))
    return all(set_option(option, value) == 1 for option, value in wanted)


def peak_memory_mib() -> int | None:
    """The most memory that this process had at one moment, in MiB; None where it is not known."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    unit = 2**20 if sys.platform == 'darwin' else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
