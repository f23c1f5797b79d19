"""An exponential moving average of the weights, which is evaluated and saved in their place.

Single steps make the weights fluctuate.  Their average over the last few hundred steps is a better
model than the last weights are (Polyak and Juditsky 1992).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def make_average(model: nn.Module, decay: float) -> AveragedModel | None:
    """Return a copy of `model` whose `update_parameters` averages, or None if `decay` is 0.

    Update n keeps the smaller of `decay` and (1 + n) / (10 + n) of the average.  As long as that is
    the second (with 0.998, for 4,490 updates), half of the average comes from the last 7% of all
    steps, since 0.93^9 is about 1/2.  Afterwards, it comes from the last 350 (ln 2 / 0.002).
    """
    if not decay:
        return None

    @torch.no_grad()
    def update(averages: list[Tensor], weights: list[Tensor], count: Tensor) -> None:
        # Otherwise, the average would contain the initial weights for too long.
        young = (1 + int(count)) / (10 + int(count))
        torch._foreach_lerp_(averages, weights, 1 - min(decay, young))

    return AveragedModel(model, multi_avg_fn=update)  # type: ignore[arg-type]
