"""Blocks at speech boundaries, and intervals that are paired."""

from __future__ import annotations

import math

import numpy as np

from compare import statistics
from compare.scoring import Score

TEXT = "ROMEO:\nAy me!\n\nJULIET:\nHe speaks.\n\nROMEO:\nO, speak again!\n"


def scored(nats_per_byte: np.ndarray, text: str) -> Score:
    """A score with one token for every byte."""
    return Score(nats_per_byte, np.arange(1, len(text) + 1), text)


def test_blocks_end_after_the_blank_line_of_a_speech() -> None:
    ends = statistics.block_ends(TEXT)
    speeches = [TEXT[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    assert speeches == ["ROMEO:\nAy me!\n\n", "JULIET:\nHe speaks.\n\n",
                        "ROMEO:\nO, speak again!\n"]  # fmt: skip
    assert statistics.block_ends("A\n\n").tolist() == [3]


def test_a_constant_difference_is_known_exactly_because_draws_are_paired() -> None:
    text = TEXT * 20
    noise = np.random.default_rng(0).exponential(2.0, len(text))
    draws = statistics.bootstrap([scored(noise, text), scored(noise + math.log(2), text)])
    assert draws.shape == (statistics.RESAMPLES, 2)
    low, high = statistics.interval(draws[:, 1] - draws[:, 0])
    assert math.isclose(low, 1.0) and math.isclose(high, 1.0)
    low, high = statistics.interval(draws[:, 0])
    assert low < noise.mean() / math.log(2) < high
