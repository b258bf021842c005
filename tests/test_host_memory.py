"""Freed memory stays in the process, unless the user says otherwise."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from mmseg_custom.host_memory import OPT_OUT, keep_freed_memory

# Page faults of thirty 64 MiB tensors, one after the other: 16384 pages of 4 KiB each.
COUNT_FAULTS = """
import ctypes, resource, torch
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # no huge pages, one of which is 512 pages
from mmseg_custom.host_memory import keep_freed_memory
print(keep_freed_memory())
for _ in range(10):  # the first few lie beside each other
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(30):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='sets an option of glibc')
@pytest.mark.skipif(torch.cuda.is_available(), reason='left alone where there is a GPU')
def test_freed_memory_is_used_again():
    found = {}
    for setting in ('1', '0'):
        done = subprocess.run(
            [sys.executable, '-c', COUNT_FAULTS],
            env={**os.environ, OPT_OUT: setting},
            capture_output=True,
            text=True,
            check=True,
        )
        found[setting] = done.stdout.split()
    assert [found[setting][0] for setting in '10'] == ['True', 'False']
    assert int(found['1'][1]) < 1000 < 100_000 < int(found['0'][1])


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='sets an option of glibc')
def test_a_loader_worker_keeps_its_memory_also_beside_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.delenv(OPT_OUT, raising=False)
    assert [keep_freed_memory(), keep_freed_memory(in_worker=True)] == [False, True]
    monkeypatch.setenv(OPT_OUT, '0')
    assert not keep_freed_memory(in_worker=True)
