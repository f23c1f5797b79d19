"""Memory that a step frees is kept for the next one, in the GNU C library.

Else it hands back whatever is large, and each step begins with thousands of page faults: two
threads, which wait for each other, lose a sixth of their time.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
NEVER = 1 << 30  # bytes; no step has that much to spare


def keep_freed_memory() -> None:
    """For this process from here on; nothing is changed where the C library is another one."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_TRIM_THRESHOLD, NEVER)
        mallopt(M_MMAP_THRESHOLD, NEVER)
