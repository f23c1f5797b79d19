"""Data parallelism over several processes: `torchrun --nproc-per-node 2 -m scratch_lm.train`.

Every process generates the same batches and computes on its share of each batch's rows.
"""

from __future__ import annotations

import atexit
import os
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from compare.device import require_device_per_process

T = TypeVar("T")
RANK = int(os.environ.get("RANK", 0))
WORLD_SIZE = int(os.environ.get("WORLD_SIZE", 1))
IS_MAIN_PROCESS = RANK == 0  # the only process that writes files


def init_process_group(device: torch.device) -> None:
    """Select this process's GPU, and join the process group if there are several processes.

    Raises Misuse if there are more processes than GPUs, or several processes on an Apple GPU.
    """
    require_device_per_process(device)
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    if WORLD_SIZE > 1:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(distributed.destroy_process_group)


def wrap(model: nn.Module) -> nn.Module:
    """Wrap `model` in DistributedDataParallel, which averages gradients over processes.

    With a single process, return `model` itself.
    """
    return nn.parallel.DistributedDataParallel(model) if WORLD_SIZE > 1 else model


def shard(rows: Tensor) -> Tensor:
    """Return this process's rows of a batch; the first dimension is the batch."""
    return rows[RANK::WORLD_SIZE]


def all_reduce_sum(value: Tensor) -> float:
    """Return the sum of the one-element tensor `value` over all processes.

    With several processes, `value` is overwritten with the sum.
    """
    if WORLD_SIZE > 1:
        distributed.all_reduce(value)
    return value.item()


def from_main_process(value: T) -> T:
    """Return the main process's `value` in all processes."""
    values = [value]
    if WORLD_SIZE > 1:
        distributed.broadcast_object_list(values)
    return values[0]
