"""Fixed blocks of tokens to train on: every token of the text is a target exactly once an epoch."""

from __future__ import annotations

import numpy as np

IGNORED = -100  # the target value that torch's and transformers' cross-entropy leave out


def blocks(
    ids: np.ndarray, length: int, end_of_text: int, first: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets, (blocks, length) int64 each; a target is the token after its input.

    The first block begins with the end-of-text token, so the first token is a target too, and
    every block begins with the last target of the one before.  The last block is moved back to
    full length; the targets it repeats are IGNORED.  Only the first `first` targets of the first
    block count (all by default), which moves the borders of all blocks.  Raises ValueError when
    `ids` are fewer than `length`.
    """
    first = length if first is None else first
    if len(ids) < length:
        raise ValueError(f"{len(ids)} tokens do not fill one block of {length}")
    sequence = np.concatenate(([end_of_text], ids))
    starts = np.concatenate(([0], np.arange(first, len(ids), length)))
    repeated = starts[-1] + length - len(ids)
    starts[-1] -= repeated
    places = starts[:, None] + np.arange(length)
    inputs, targets = sequence[places], sequence[places + 1]
    targets[-1, :repeated] = IGNORED
    targets[0, first:] = IGNORED
    return inputs, targets
