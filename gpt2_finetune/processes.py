"""The processes that share a training: those of torchrun or accelerate launch, or a single one."""

from __future__ import annotations

import os

import torch
from accelerate import PartialState

from compare.device import require_device_per_process
from compare.errors import Misuse
from gpt2_finetune.config import FinetuneOptions


def join_processes(options: FinetuneOptions, device: torch.device) -> PartialState:
    """Return the state of this process, alone or among those of torchrun or accelerate launch.

    Raises Misuse for one process on several GPUs, for more processes than GPUs, for several
    processes on an Apple GPU, and for --lora with FSDP.
    """
    # PartialState's own error is less helpful if a process has no GPU, and it would let each of
    # several processes on an Apple GPU train alone.
    require_device_per_process(device)
    processes = PartialState(cpu=device.type == "cpu")
    if processes.num_processes == 1:
        require_one_gpu(
            device,
            "start it with torchrun --nproc-per-node N -m gpt2_finetune.train, or set "
            "CUDA_VISIBLE_DEVICES=0",
        )
    if options.lora and os.environ.get("ACCELERATE_USE_FSDP") == "true":
        raise Misuse("--lora trains few weights: it needs no FSDP, so start it with torchrun")
    return processes


def require_one_gpu(device: torch.device, advice: str) -> None:
    """Raise Misuse if this process, which is the only one, would train on several GPUs.

    The Trainer would divide each batch among them with `nn.DataParallel`, which is slower than one
    process per GPU.  `advice` says what to do instead.
    """
    if device.type == "cuda" and torch.cuda.device_count() > 1:
        raise Misuse(f"there are {torch.cuda.device_count()} GPUs and one process: {advice}")
