"""What an epoch shows the model: every training token once, in an order of its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from compare.blocks import blocks
from scratch_lm.config import ScratchOptions


def steps_per_epoch(tokens: int, options: ScratchOptions) -> int:
    """Steps of `epoch_batches`, the same in every epoch."""
    return -(-tokens // (options.context_length * options.batch_size))


def epoch_batches(
    ids: np.ndarray, end_of_text: int, options: ScratchOptions, epoch: int, done: int = 0
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Inputs, targets and the targets' places in `ids`, for each step after the first `done`.

    (batch, context length) int64 each.

    Borders between blocks and the order of blocks are drawn anew for each epoch, from the seed and
    the epoch alone, so a resumed epoch is the same as an unbroken one.
    """
    length = options.context_length
    generator = torch.Generator().manual_seed(options.seed * 1000 + epoch)
    # A first block of at least the last one's length leaves the number of blocks as it is.
    least = (len(ids) - 1) % length + 1
    first = int(torch.randint(least, length + 1, (), generator=generator))
    rows = blocks(ids, length, end_of_text, first)
    order = torch.randperm(len(rows), generator=generator).numpy()
    for at in range(done * options.batch_size, len(order), options.batch_size):
        batch = order[at : at + options.batch_size]
        parts = *rows[batch], rows.places(batch)
        yield tuple(map(torch.from_numpy, parts))
