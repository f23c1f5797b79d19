"""Peak resident memory of this process on Linux, macOS and Windows."""

from __future__ import annotations

import sys


def peak_memory_mb() -> int:
    """Return the peak resident set size of this process so far, in MiB."""
    if sys.platform == "win32":
        import psutil

        return round(psutil.Process().memory_info().peak_wset / 2**20)
    import resource  # not available on Windows

    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
