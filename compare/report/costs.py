"""The training costs behind a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel

from compare.ruler.flops import training_flops
from compare.runs.record import RunRecord


@dataclass(frozen=True)
class Costs:
    """Means over a row's runs, except for peak memory, which is their maximum."""

    trained_characters: int
    training_flops: float
    wall_seconds: float
    characters_per_second: float | None
    """None without training."""
    peak_memory_mb: int | None
    """In MiB.  None without training."""


UNTRAINED = Costs(0, 0.0, 0.0, None, None)
"""The costs of an untouched base: the study has not trained it."""


def costs(runs: Sequence[RunRecord], models: Sequence[PreTrainedModel], epoch_tokens: int) -> Costs:
    """Return the costs of a row from the records and models of its runs.

    Each run counts with the epochs that it has trained, which may be fewer than were allowed, and
    each of these has `epoch_tokens`.
    """
    last = [run.epochs[-1] for run in runs]
    flops = [
        training_flops(model, epoch.epoch * epoch_tokens, run.parameters.trained)
        for run, model, epoch in zip(runs, models, last, strict=True)
    ]
    return Costs(
        trained_characters=round(np.mean([epoch.characters_seen for epoch in last])),
        training_flops=float(np.mean(flops)),
        wall_seconds=float(np.mean([run.wall_seconds for run in runs])),
        characters_per_second=float(np.mean([run.characters_per_second for run in runs])),
        peak_memory_mb=max(run.peak_memory_mb for run in runs),
    )
