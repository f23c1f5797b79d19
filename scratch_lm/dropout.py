"""Seeds for dropout: one for every step, so that a checkpoint needs no random state."""

from __future__ import annotations

import numpy as np


def dropout_seed(seed: int, step: int, rank: int) -> int:
    """A 32-bit seed for the masks that process `rank` draws in one step of a training.

    It is a hash of all three numbers.  PyTorch's generator for the CPU uses the low 32 bits of its
    seed only, so numbers that are merely packed into 64 bits lose whatever stands above.
    """
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])
