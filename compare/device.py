"""Which device computes: decided here, for both tracks and for the referee."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Literal

from compare.errors import Misuse

if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


def choose_device(requested: DeviceName = "auto") -> torch.device:
    """The device called `requested`; "auto" is an NVIDIA or AMD GPU, an Apple GPU, or the CPU.

    Raises Misuse when the device is not available.
    """
    import torch  # not at the top: `--help` answers without it

    available = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if requested == "auto":
        requested = next((name for name, is_there in available.items() if is_there()), "cpu")
    elif requested != "cpu" and not available[requested]():
        raise Misuse(f"--device {requested}: PyTorch finds no such device; use --device auto")
    return torch.device(requested)


def describe(device: torch.device) -> str:
    """What a run record says of the device: a GPU's name, or the CPU's threads."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple GPU (mps), {platform.machine()}"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}, {platform.machine()}"
