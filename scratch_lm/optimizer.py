"""The optimizers and the learning rate of the scratch track."""

from __future__ import annotations

import math

import torch
from torch import nn

from scratch_lm.config import ScratchOptions

FINAL_FACTOR = 0.05


def optimizers(model: nn.Module, options: ScratchOptions) -> list[torch.optim.Optimizer]:
    """AdamW for everything, or Muon (Jordan 2024, `torch.optim.Muon`) for the decoder's matrices.

    Each group keeps its peak rate under "peak", for `set_learning_rate`.
    """
    parameters = list(model.named_parameters())
    matrices = [p for name, p in parameters if p.ndim == 2 and name.endswith("weight")
                and name.startswith("decoder.")]  # fmt: skip
    if options.optimizer == "adamw":
        made = [torch.optim.AdamW(model.parameters(), lr=options.learning_rate, fused=True)]
    else:
        known = {id(p) for p in matrices}
        rest = [p for _, p in parameters if id(p) not in known]
        made = [
            torch.optim.Muon(matrices, lr=options.muon_learning_rate, adjust_lr_fn="original"),
            torch.optim.AdamW(rest, lr=options.learning_rate, weight_decay=0.0, fused=True),
        ]
    for optimizer in made:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return made


def set_learning_rate(
    made: list[torch.optim.Optimizer], step: int, steps: int, warmup_steps: int
) -> float:
    """Linear warm-up, then cosine decay to FINAL_FACTOR of the peak; returns AdamW's rate."""
    if step < warmup_steps:
        factor = (step + 1) / warmup_steps
    else:
        progress = (step - warmup_steps) / max(1, steps - warmup_steps)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        factor = FINAL_FACTOR + (1 - FINAL_FACTOR) * cosine
    for optimizer in made:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * factor
    return made[-1].param_groups[0]["lr"]
