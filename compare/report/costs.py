"""What the trainings behind a row cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedModel

from compare.ruler.flops import training_flops
from compare.runs.record import RunRecord

COSTS = (
    "trained_characters",
    "training_flops",
    "wall_seconds",
    "characters_per_second",
    "peak_memory_mb",
)


def costs(
    runs: Sequence[RunRecord], models: Sequence[PreTrainedModel], epoch_tokens: int
) -> dict[str, float | int]:
    """COSTS of a row: means over its runs, but the highest of their peaks of memory.

    Each run counts with the epochs that it has trained, which may be fewer than were allowed, and
    each of these has `epoch_tokens`.
    """
    last = [run.epochs[-1] for run in runs]
    flops = [
        training_flops(model, epoch.epoch * epoch_tokens)
        for model, epoch in zip(models, last, strict=True)
    ]
    return {
        "trained_characters": round(np.mean([epoch.characters_seen for epoch in last])),
        "training_flops": float(np.mean(flops)),
        "wall_seconds": float(np.mean([run.wall_seconds for run in runs])),
        "characters_per_second": float(np.mean([run.characters_per_second for run in runs])),
        "peak_memory_mb": max(run.peak_memory_mb for run in runs),
    }
