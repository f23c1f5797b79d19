"""The processes that share a training run: those of torchrun or accelerate launch, or only one."""

from __future__ import annotations

import os

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

from compare.device import require_device_per_process
from compare.errors import Misuse
from gpt2_finetune.config import FinetuneOptions


def join_processes(options: FinetuneOptions, device: torch.device) -> PartialState:
    """Return the state of this process, alone or among those of torchrun or accelerate launch.

    Raises Misuse for one process on several GPUs, for more processes than GPUs, for several
    processes on an Apple GPU, for --lora with FSDP, and for settings of accelerate launch that
    options of this command decide or that are not supported.
    """
    require_own_settings()
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


def require_own_settings() -> None:
    """Raise Misuse if accelerate launch asks for mixed precision, torch.compile or DeepSpeed.

    It passes them on from the user's accelerate configuration, in environment variables that take
    precedence over the Trainer's arguments.  The precision would also apply to evaluation, and the
    run record would not show it.
    """
    for variable, setting, reason in (
        ("ACCELERATE_MIXED_PRECISION", "mixed_precision", "--precision decides here"),
        ("ACCELERATE_DYNAMO_BACKEND", "dynamo_backend", "torch.compile is not supported here"),
    ):
        chosen = os.environ.get(variable, "no").lower()
        if chosen != "no":
            raise Misuse(
                f"accelerate's {setting} is {chosen}, but {reason}: set {setting}: 'no' in the "
                f"accelerate configuration, or start with accelerate launch --{setting} no"
            )
    if parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):
        raise Misuse(
            "DeepSpeed is not supported: start with accelerate launch --config_file "
            "gpt2_finetune/fsdp.yaml, or with torchrun"
        )


def require_one_gpu(device: torch.device, advice: str) -> None:
    """Raise Misuse if this process, which is the only one, would train on several GPUs.

    The Trainer would divide each batch among them with `nn.DataParallel`, which is slower than one
    process per GPU.  `advice` says what to do instead.
    """
    if device.type == "cuda" and torch.cuda.device_count() > 1:
        raise Misuse(f"there are {torch.cuda.device_count()} GPUs and one process: {advice}")
