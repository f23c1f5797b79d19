"""What an epoch shows the model: every training token once, in an order of its own.

The exercises of `scratch_lm.copying` change some names in that and add rows to it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from compare.corpus.blocks import IGNORED, blocks
from scratch_lm.config import ScratchOptions
from scratch_lm.copying import EVERY, Speakers, drill


def steps_per_epoch(tokens: int, options: ScratchOptions) -> int:
    """Steps of `epoch_batches`, the same in every epoch."""
    return -(-tokens // (options.context_length * options.batch_size))


def epoch_batches(
    ids: np.ndarray,
    end_of_text: int,
    options: ScratchOptions,
    epoch: int,
    done: int = 0,
    speakers: Speakers | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Inputs, targets and the targets' places in `ids`, for each step after the first `done`.

    (rows, context length) int64 each.  A target that is not the text's own has place -1: an
    invented name of one of the `speakers`, or a drill, whose row comes after the batch's.

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
    for number in range(done, steps_per_epoch(len(ids), options)):
        batch = order[number * options.batch_size : (number + 1) * options.batch_size]
        parts = *rows[batch], rows.places(batch)
        rng = np.random.default_rng([options.seed, epoch, number])
        if speakers:
            for row in np.flatnonzero(rng.random(len(batch)) < options.rename):
                _rename(*(part[row] for part in parts), speakers, rng)
        if options.drills and number % EVERY == 0:
            exercise = drill(1, length, options.vocabulary, rng)
            parts = map(np.concatenate, zip(parts, exercise, strict=True))
        yield tuple(map(torch.from_numpy, parts))


def _rename(
    inputs: np.ndarray,
    targets: np.ndarray,
    places: np.ndarray,
    speakers: Speakers,
    rng: np.random.Generator,
) -> None:
    """Invented names for the speakers of one row, in place."""
    begin = max(0, places[0] - 1)  # the text's first token has none before it
    tokens = speakers.renamed(begin, places[-1] + 1, rng)
    inputs[len(inputs) + 1 - len(tokens) :] = tokens[:-1]
    new = tokens[places - begin]
    changed = (new != speakers.ids[places]) & (targets != IGNORED)
    targets[changed], places[changed] = new[changed], -1
