"""Dropout seeds: one for every step on the text, so that checkpoints need no random state."""

from __future__ import annotations

import numpy as np


def dropout_seed(seed: int, step: int, rank: int) -> int:
    """Return a 32-bit seed for the dropout masks of process `rank` in training step `step`.

    The seed is a hash of all three numbers.  PyTorch's CPU generator uses only the low 32 bits of
    its seed, so packing the numbers into 64 bits would lose everything in the high bits.
    """
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])
