"""Every token is a target once per epoch, including the first of each block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare.corpus.blocks import IGNORED, blocks


@given(st.integers(1, 40), st.integers(0, 200), st.integers(1, 40))
def test_every_token_is_a_target_once_and_follows_its_input(
    length: int, more: int, first: int
) -> None:
    ids = np.arange(1, length + more + 1)  # all different, so order and repeats show
    rows = blocks(ids, length, 0, min(first, length))
    inputs, targets = rows[np.arange(len(rows))]
    assert inputs.shape == targets.shape and inputs.shape[1] == length
    counted = targets[targets != IGNORED]
    assert sorted(counted) == ids.tolist()
    assert np.all(inputs[targets != IGNORED] == counted - 1)
    if first >= (len(ids) - 1) % length + 1:  # then moving the borders costs no extra block
        assert len(inputs) == -(-len(ids) // length)


def test_too_few_tokens_for_one_block() -> None:
    with pytest.raises(ValueError, match="3 tokens do not fill one block of 4"):
        blocks(np.arange(3), 4, 0)
