"""Optimizers and learning-rate schedule of the scratch track."""

from __future__ import annotations

import math

import torch
from torch import nn

from scratch_lm.config import ScratchOptions
from scratch_lm.muon import BatchedMuon

FINAL_FACTOR = 0.05  # learning rate at the end of training, as a fraction of the peak


def make_optimizers(model: nn.Module, options: ScratchOptions) -> list[torch.optim.Optimizer]:
    """Return AdamW for all parameters, or Muon for the decoder's weight matrices plus AdamW.

    Muon (Jordan 2024) is `scratch_lm.muon`.  The last optimizer is always AdamW.  Each parameter
    group stores its peak learning rate under "peak", for `set_learning_rate`.
    """
    matrices = select_matrices(model)
    selected: list[torch.optim.Optimizer]
    if options.optimizer == "adamw":
        selected = [torch.optim.AdamW(model.parameters(), lr=options.learning_rate, fused=True)]
    else:
        matrix_ids = {id(parameter) for parameter in matrices}
        rest = [each for each in model.parameters() if id(each) not in matrix_ids]
        selected = [
            BatchedMuon(matrices, lr=options.muon_learning_rate),
            torch.optim.AdamW(rest, lr=options.learning_rate, weight_decay=0.0, fused=True),
        ]
    for optimizer in selected:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return selected


def select_matrices(model: nn.Module) -> list[nn.Parameter]:
    """Return the weight matrices of the decoder's layers, which Muon can train."""
    return [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and name.endswith("weight") and name.startswith("decoder.")
    ]


def set_learning_rate(
    optimizers: list[torch.optim.Optimizer], step: int, steps: int, warmup_steps: int
) -> float:
    """Set the learning rate of all optimizers for `step` of `steps`; return that of AdamW.

    The schedule is a linear warm-up, then a cosine decay to FINAL_FACTOR of the peak, where it
    stays: the drills may have more steps than the training on a short text.
    """
    if step < warmup_steps:
        factor = (step + 1) / warmup_steps
    else:
        progress = min(1, (step - warmup_steps) / max(1, steps - warmup_steps))
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        factor = FINAL_FACTOR + (1 - FINAL_FACTOR) * cosine
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * factor
    return optimizers[-1].param_groups[0]["lr"]
