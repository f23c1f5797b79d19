"""Limits set by the course."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

PARAMETER_LIMIT = 1_000_000  # a model from scratch must have fewer
MIN_EPOCHS = 3
VISIBLE_FALL = 0.01


def falls_visibly(losses: Sequence[float]) -> bool:
    """Return whether the lowest validation loss is at least 1% below that of the first epoch."""
    return min(losses) <= (1 - VISIBLE_FALL) * losses[0]


def describe_losses(losses: Sequence[float]) -> str:
    """Return the validation loss of each epoch, and how many are not below the one before."""
    described = ", ".join(f"{loss:.3f}" for loss in losses)
    not_lower = sum(later >= earlier for earlier, later in pairwise(losses))
    return described + (f"; not lower than the epoch before: {not_lower}" if not_lower else "")
