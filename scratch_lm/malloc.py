"""Keep the memory that a training step frees for the next step, in the GNU C library.

By default glibc returns large blocks to the operating system when they are freed, so every step
starts with thousands of page faults: about 8,000 for a step of `tuned`, which then takes 10 to 15 %
longer on two threads.  `python -m scratch_lm.bench` measures both.
"""

from __future__ import annotations

import ctypes

# Parameters of mallopt, from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3

# Blocks below this size come from the heap and not from mmap.  It is the largest value that every
# glibc accepts: half of HEAP_MAX_SIZE, which is 64 MiB on 64-bit machines.
MMAP_THRESHOLD = 32 << 20
# Free memory at the end of the heap that is kept; no step frees that much.
TRIM_THRESHOLD = 1 << 30


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory for this process; returns whether it does.

    Where the C library has no `mallopt`, or refuses, nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (TypeError, OSError, AttributeError):  # Windows; macOS and musl
        return False
    # The order matters.  Each of the two switches off glibc's own adjustment of both, so a trim
    # threshold without the mmap threshold leaves every block above 128 KiB to mmap: seven times
    # the page faults of no setting at all, and twice the time.
    if not mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD):
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD))
