"""Each epoch shows every training token once, in its own reproducible order."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from compare.corpus.blocks import IGNORED
from scratch_lm.batches import count_steps_per_epoch, epoch_batches
from scratch_lm.config import ScratchOptions


@given(
    length=st.integers(2, 20),
    extra=st.integers(0, 300),
    batch_size=st.integers(1, 7),
    epoch=st.integers(1, 50),
)
def test_an_epoch_shows_every_token_once_in_the_computed_number_of_steps(
    length: int, extra: int, batch_size: int, epoch: int
) -> None:
    options = ScratchOptions(context_length=length, batch_size=batch_size)
    ids = np.arange(1, length + extra + 1)
    batches = list(epoch_batches(ids, 0, options, epoch))
    targets = torch.cat([batch[1].flatten() for batch in batches])
    positions = torch.cat([batch[2].flatten() for batch in batches])
    counted = targets != IGNORED
    assert sorted(targets[counted].tolist()) == ids.tolist()
    assert torch.equal(torch.from_numpy(ids)[positions[counted]], targets[counted])
    assert len(batches) == count_steps_per_epoch(len(ids), options)
    assert all(len(x) == batch_size for x, *_ in batches[:-1])


def test_epochs_differ_from_each_other_and_are_reproducible() -> None:
    options = ScratchOptions(context_length=16, batch_size=4, seed=7)
    ids = np.arange(1, 1000)
    first, again, other = (list(epoch_batches(ids, 0, options, epoch)) for epoch in (1, 1, 2))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    rows = [{tuple(row) for x, *_ in batches for row in x.tolist()} for batches in (first, other)]
    assert len(rows[0] & rows[1]) < 3  # block boundaries move, so almost no block is the same
