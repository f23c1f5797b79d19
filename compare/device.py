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

    "auto" falls back to the CPU, and with `accelerate launch --cpu`, it is the CPU.  If the device
    is an NVIDIA GPU, its products in fp32 use fp32, and not TF32, from now on.

    Raises Misuse if the requested device is not available, or a GPU with `accelerate launch --cpu`.
    """
    import torch  # imported here to keep `--help` fast

    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if requested not in ("auto", *available):
        raise Misuse(f"--device {requested}: PyTorch finds no such device; use --device auto")
    if _accelerate_uses_cpu():
        if requested not in ("auto", "cpu"):
            raise Misuse(
                f"--device {requested}: ACCELERATE_USE_CPU, which accelerate launch --cpu sets, "
                "asks for the CPU; use --device cpu, or start without it"
            )
        return torch.device("cpu")
    device = torch.device(available[0] if requested == "auto" else requested)
    if device.type == "cuda":
        _turn_off_tf32()
    return device


def _accelerate_uses_cpu() -> bool:
    """Return whether accelerate puts everything on the CPU, whatever other devices there are.

    `accelerate launch` sets this variable, which the Trainer obeys.
    """
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("y", "yes", "t", "true", "on", "1")


def _turn_off_tf32() -> None:
    """Let matrix products and convolutions in fp32 round to fp32.

    For convolutions, PyTorch's default is TF32, which rounds to 10 bits.  For matrix products, too,
    if TORCH_ALLOW_TF32_CUBLAS_OVERRIDE is set, as it is in NVIDIA's containers.

    These settings are older than `fp32_precision`, but they change that, too.  If only that were
    set, reading these would raise an error, and torch.compile reads them.
    """
    import torch

    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


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
