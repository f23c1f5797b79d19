"""Device selection for both tracks and for the comparison."""

from __future__ import annotations

import os
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


def require_device_per_process(device: torch.device) -> None:
    """Raise Misuse if processes of torchrun or accelerate would have to share a GPU.

    They cannot, and an Apple GPU is always the only one.
    """
    import torch

    gpus = torch.cuda.device_count()
    if device.type == "cuda" and int(os.environ.get("LOCAL_RANK", 0)) >= gpus:
        raise Misuse(
            f"torch finds {gpus} GPU{'s' if gpus != 1 else ''}, which is fewer than the processes "
            "started: lower --nproc-per-node, or use --device cpu"
        )
    if device.type == "mps" and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise Misuse(
            "several processes cannot share an Apple GPU (mps), which torch.distributed does not "
            "support: start a single process, or use --device cpu"
        )


def describe(device: torch.device) -> str:
    """Describe the device for a run record: the name of a GPU, or the thread count of a CPU."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple GPU (mps), {platform.machine()}"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}, {platform.machine()}"
