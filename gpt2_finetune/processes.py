"""The processes that share a training run: those of torchrun or accelerate launch, or only one."""

from __future__ import annotations

import os

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from transformers import TrainingArguments

from compare.device import require_device_per_process
from compare.errors import Misuse
from gpt2_finetune.config import FinetuneOptions


def join_processes(options: FinetuneOptions, device: torch.device) -> PartialState:
    """Return the state of this process, alone or among those of torchrun or accelerate launch.

    Raises Misuse for more processes than GPUs, for several processes on an Apple GPU, for --lora
    with FSDP, and for settings of accelerate launch that options of this command decide or that are
    not supported.
    """
    require_own_settings()
    # PartialState's own error is less helpful if a process has no GPU, and it would let each of
    # several processes on an Apple GPU train alone.
    require_device_per_process(device)
    processes = PartialState(cpu=device.type == "cpu")
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


class OneGpuArguments(TrainingArguments):
    """TrainingArguments with which each process uses a single GPU.

    Of several GPUs, a process that is the only one uses the first.  Without this, the Trainer would
    divide each batch among all of them with `nn.DataParallel`: `per_device_train_batch_size` would
    mean another batch than on one GPU, and `nn.DataParallel` is slower than one process per GPU.
    """

    @property
    def n_gpu(self) -> int:
        """The number of GPUs used by this process, 0 or 1."""
        return min(1, super().n_gpu)
