"""Keep freed memory in the process, so that the next training step does not have to ask for it."""

from __future__ import annotations

import ctypes
import sys

# Parameters of glibc's mallopt(3), from malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_freed_memory() -> None:
    """Let glibc reuse freed memory of any size, instead of returning it to the operating system.

    By default, it returns every large block at once.  The kernel has to fill the next one with
    zeros, page by page: for SmolLM2, half a million pages or 2 GB in every step, which takes longer
    than attention.  Nothing happens with other C libraries.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)  # allocate from the heap, which can be reused, at any size
        mallopt(M_TRIM_THRESHOLD, -1)  # never shrink the heap
