"""Make the GNU C library keep the memory that one training step frees for the next step.

By default, glibc returns large blocks to the operating system as soon as they are freed, so every
step causes thousands of page faults: about 8,000 for a step of `tuned`, which then takes 10 to 15%
longer on two threads.  `python -m scratch_lm.bench` measures both settings.
"""

from __future__ import annotations

import ctypes

# Parameters of mallopt, from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3

# Blocks below this size come from the heap instead of mmap.  This is the largest value that every
# glibc accepts: half of HEAP_MAX_SIZE, which is 64 MiB on 64-bit machines.
MMAP_THRESHOLD = 32 << 20
# Free memory to keep at the top of the heap; no step frees this much.
TRIM_THRESHOLD = 1 << 30


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory in this process; return whether it agreed.

    Nothing changes if the C library has no `mallopt`, or if it rejects the setting.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (TypeError, OSError, AttributeError):  # Windows; macOS and musl
        return False
    # The order matters.  Setting either threshold disables glibc's automatic adjustment of both.  A
    # trim threshold alone would leave every block above 128 KiB to mmap, which causes more page
    # faults than the default does.
    if not mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD):
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD))
