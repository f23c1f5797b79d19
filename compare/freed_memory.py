"""Make the GNU C library keep the memory that one training step frees for the next step.

By default, glibc returns large blocks to the operating system as soon as they are freed, and the
kernel fills every new page with zeros.  Depending on the machine, a step of `tuned` causes 500 to
8,000 such page faults; a step of SmolLM2 in bf16 causes half a million, a quarter of its time.
`python -m scratch_lm.bench` measures both settings for `tuned`.
"""

from __future__ import annotations

import ctypes

# Parameters of mallopt, from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory in this process; return whether it agreed.

    Nothing changes if the C library has no `mallopt`, or if it rejects the setting.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (TypeError, OSError, AttributeError):  # Windows; macOS and musl
        return False
    # The order matters.  Setting either disables glibc's automatic adjustment of its thresholds.
    # Never shrinking the heap would, on its own, leave every block above 128 KiB to mmap, which
    # causes more page faults than the default does.
    if not mallopt(M_MMAP_MAX, 0):  # allocate blocks of all sizes on the heap
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, -1))  # and never shrink the heap
