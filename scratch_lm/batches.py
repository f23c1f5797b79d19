"""Training batches: each epoch shows the model every training token once, in a new order.

Two exercises from `scratch_lm.copy_exercises` can modify the batches: invented speaker names
replace some tokens, and drills add rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from compare.corpus.blocks import IGNORED, blocks
from scratch_lm.config import ScratchOptions
from scratch_lm.copy_exercises import DRILL_INTERVAL, FIRST_DRILL_STEPS, Speakers, make_drills


class Batch(NamedTuple):
    """The rows of a training step; each tensor is (rows, context length) int64."""

    inputs: Tensor
    targets: Tensor
    """The next token for each input, or IGNORED."""
    positions: Tensor
    """Index of each target in the text, or -1 if it does not come from the text: if it is part of
    an invented name or of a drill."""


def count_steps_per_epoch(tokens: int, options: ScratchOptions) -> int:
    """Return the number of batches that `epoch_batches` yields for a text of `tokens` tokens.

    It is the same in every epoch.
    """
    return -(-tokens // (options.context_length * options.batch_size))


def epoch_batches(
    ids: np.ndarray,
    end_of_text: int,
    options: ScratchOptions,
    epoch: int,
    done: int = 0,
    speakers: Speakers | None = None,
) -> Iterator[Batch]:
    """Yield a batch of the text `ids` for each step of `epoch` after the first `done` steps.

    If `speakers` is given, some of them get invented names.  Drill rows follow the text's rows.

    Block boundaries and block order change in every epoch.  They depend only on the seed and the
    epoch, so a resumed epoch is identical to an uninterrupted one.

    Raises ValueError if `ids` has fewer tokens than one block.
    """
    length = options.context_length
    generator = torch.Generator().manual_seed(options.seed * 1000 + epoch)
    # If the first block is at least as long as the last one, the number of blocks does not change.
    shortest_first = (len(ids) - 1) % length + 1
    first_length = int(torch.randint(shortest_first, length + 1, (), generator=generator))
    rows = blocks(ids, length, end_of_text, first_length)
    order = torch.randperm(len(rows), generator=generator).numpy()
    for step in range(done, count_steps_per_epoch(len(ids), options)):
        selected = order[step * options.batch_size : (step + 1) * options.batch_size]
        inputs, targets = rows[selected]
        positions = rows.positions(selected)
        rng = np.random.default_rng([options.seed, epoch, step])
        if speakers:
            for row in np.flatnonzero(rng.random(len(selected)) < options.rename):
                _rename_speakers(inputs[row], targets[row], positions[row], speakers, rng)
        if options.drills and step % DRILL_INTERVAL == 0:
            drill_inputs, drill_targets, drill_positions = make_drills(
                1, length, options.vocabulary, rng
            )
            inputs = np.concatenate((inputs, drill_inputs))
            targets = np.concatenate((targets, drill_targets))
            positions = np.concatenate((positions, drill_positions))
        yield Batch(*map(torch.from_numpy, (inputs, targets, positions)))


def first_drills(options: ScratchOptions) -> Iterator[Batch]:
    """Yield the FIRST_DRILL_STEPS batches that come before the text: drills alone."""
    rng = np.random.default_rng([options.seed, 0])
    for _ in range(FIRST_DRILL_STEPS):
        drills = make_drills(options.batch_size, options.context_length, options.vocabulary, rng)
        yield Batch(*map(torch.from_numpy, drills))


def _rename_speakers(
    inputs: np.ndarray,
    targets: np.ndarray,
    positions: np.ndarray,
    speakers: Speakers,
    rng: np.random.Generator,
) -> None:
    """Replace the speakers of one row with invented names, in place."""
    begin = max(0, positions[0] - 1)  # the text's first token has no predecessor
    tokens = speakers.with_invented_names(begin, positions[-1] + 1, rng)
    # A row at the start of the text keeps its first input, the end-of-text token.
    inputs[len(inputs) + 1 - len(tokens) :] = tokens[:-1]
    new_targets = tokens[positions - begin]
    changed = (new_targets != speakers.ids[positions]) & (targets != IGNORED)
    targets[changed], positions[changed] = new_targets[changed], -1
