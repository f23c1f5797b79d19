"""Fixed blocks of tokens to train on: every token of the text is a target exactly once an epoch."""

from __future__ import annotations

import numpy as np

IGNORED = -100  # the target value that torch's and transformers' cross-entropy leave out


def blocks(ids: np.ndarray, length: int, end_of_text: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets, (blocks, length) int64 each; a target is the token after its input.

    The first block begins with the end-of-text token, so the first token is a target too, and
    every block begins with the last target of the one before.  The last block is moved back to
    full length; the targets it repeats are IGNORED.  Raises ValueError when `ids` are fewer than
    `length`.
    """
    if len(ids) < length:
        raise ValueError(f"{len(ids)} tokens do not fill one block of {length}")
    sequence = np.concatenate(([end_of_text], ids))
    starts = np.arange(0, len(ids), length)
    repeated = max(0, starts[-1] + length - len(ids))
    starts[-1] -= repeated
    places = starts[:, None] + np.arange(length)
    inputs, targets = sequence[places], sequence[places + 1]
    targets[-1, :repeated] = IGNORED
    return inputs, targets
