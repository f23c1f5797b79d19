"""A step gets the memory that the one before has freed, not new pages of it."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PAGE_FAULTS = """
import resource, sys, torch
from scratch_lm.memory import keep_freed_memory

def step():
    parts = [torch.ones(2_000_000) for _ in range(10)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "kept":
    keep_freed_memory()
step()
print(-step() + step())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library")
def test_freed_memory_is_kept_for_the_next_step() -> None:
    kept, returned = (
        int(subprocess.check_output([sys.executable, "-c", PAGE_FAULTS, how]))
        for how in ("kept", "returned")
    )
    assert 10 * kept < returned
