"""The most memory that this process has held, on Linux, macOS and Windows."""

from __future__ import annotations

import sys


def peak_memory_mb() -> int:
    """MiB of resident memory at the process's peak so far."""
    if sys.platform == "win32":
        import psutil

        return round(psutil.Process().memory_info().peak_wset / 2**20)
    import resource  # which Windows does not have

    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
