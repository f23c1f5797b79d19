"""Device selection for both tracks and for the comparison."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Literal

from compare.errors import Misuse

if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


def choose_device(requested: DeviceName = "auto") -> torch.device:
    """Return the device `requested`; "auto" prefers an NVIDIA or AMD GPU, then an Apple GPU.

    "auto" falls back to the CPU.  Raises Misuse if the requested device is not available.
    """
    import torch  # imported here to keep `--help` fast

    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if requested == "auto":
        return torch.device(available[0])
    if requested not in available:
        raise Misuse(f"--device {requested}: PyTorch finds no such device; use --device auto")
    return torch.device(requested)


def describe(device: torch.device) -> str:
    """Describe the device for a run record: the name of a GPU, or the thread count of a CPU."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple GPU (mps), {platform.machine()}"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}, {platform.machine()}"
