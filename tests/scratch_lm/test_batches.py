"""Each epoch shows every training token once, in an order of its own that can be had again."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from compare.corpus.blocks import IGNORED
from scratch_lm.batches import epoch_batches, steps_per_epoch
from scratch_lm.config import ScratchOptions


@given(
    length=st.integers(2, 20),
    more=st.integers(0, 300),
    batch_size=st.integers(1, 7),
    epoch=st.integers(1, 50),
)
def test_every_token_once_in_the_promised_number_of_steps(
    length: int, more: int, batch_size: int, epoch: int
) -> None:
    options = ScratchOptions(context_length=length, batch_size=batch_size)
    ids = np.arange(1, length + more + 1)
    batches = list(epoch_batches(ids, 0, options, epoch))
    targets, places = (torch.cat([each[at].flatten() for each in batches]) for at in (1, 2))
    assert sorted(targets[targets != IGNORED].tolist()) == ids.tolist()
    counted = targets != IGNORED
    assert torch.equal(torch.from_numpy(ids)[places[counted]], targets[counted])
    assert len(batches) == steps_per_epoch(len(ids), options)
    assert all(len(x) == batch_size for x, *_ in batches[:-1])


def test_epochs_differ_and_repeat_exactly() -> None:
    options = ScratchOptions(context_length=16, batch_size=4, seed=7)
    ids = np.arange(1, 1000)
    first, again, other = (list(epoch_batches(ids, 0, options, epoch)) for epoch in (1, 1, 2))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    rows = [{tuple(row) for x, *_ in batches for row in x.tolist()} for batches in (first, other)]
    assert len(rows[0] & rows[1]) < 3  # other borders, so hardly a block is the same
