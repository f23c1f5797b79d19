"""More than one process on one batch: `torchrun --nproc-per-node 2 -m scratch_lm.train`.

Every process makes the same batches and takes its share of the rows of each.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

T = TypeVar("T")
RANK = int(os.environ.get("RANK", 0))
PROCESSES = int(os.environ.get("WORLD_SIZE", 1))
FIRST = RANK == 0  # the process that keeps the record


def join(device: torch.device) -> None:
    """Find the other processes, if there are any, and take a GPU of this process's own."""
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    if PROCESSES > 1:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(distributed.destroy_process_group)


def wrapped(model: nn.Module) -> nn.Module:
    """`model` with gradients averaged over all processes; itself where there is one."""
    return nn.parallel.DistributedDataParallel(model) if PROCESSES > 1 else model


def share(rows: Tensor) -> Tensor:
    """This process's rows of a batch."""
    return rows[RANK::PROCESSES]


def total(value: Tensor) -> float:
    """The sum of `value`, one number, over all processes."""
    if PROCESSES > 1:
        distributed.all_reduce(value)
    return value.item()


def first_then_others(first: Callable[[], T], others: Callable[[], T]) -> T:
    """`first()` in the first process and, when that is done, `others()` in the others."""
    result = first() if FIRST else None
    if PROCESSES > 1:
        distributed.barrier()
    return result if FIRST else others()
