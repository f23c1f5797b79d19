"""Blocks at speech boundaries, and intervals that are paired."""

from __future__ import annotations

import math

import numpy as np
import pytest

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
    a, b = scored(noise, text), scored(noise + math.log(2), text)
    draws = statistics.bootstrap({"a": [a], "b": [b]})
    assert draws["a"].shape == (statistics.RESAMPLES,)
    low, high = statistics.interval(draws["b"] - draws["a"])
    assert math.isclose(low, 1.0) and math.isclose(high, 1.0)
    low, high = statistics.interval(draws["a"])
    assert low < noise.mean() / math.log(2) < high


def test_runs_that_differ_widen_the_interval_by_the_error_of_their_mean() -> None:
    flat = np.full(len(TEXT), math.log(2))  # every byte one bit: the text's choice adds nothing
    runs = [scored(flat * (1 + shift), TEXT) for shift in (-0.1, 0.0, 0.1)]
    draws = statistics.bootstrap({"row": runs})["row"]
    assert draws.mean() == pytest.approx(1.0, abs=0.01)
    assert draws.std() == pytest.approx(0.1 / math.sqrt(3), rel=0.05)
    assert statistics.bootstrap({"row": runs[:1]})["row"].std() == pytest.approx(0)
    assert statistics.mean(runs).nats.sum() == pytest.approx(flat.sum())


@pytest.mark.slow
def test_intervals_cover_what_they_should(capsys: pytest.CaptureFixture[str]) -> None:
    """Speeches of uneven length and difficulty, and two models whose difference varies by speech.

    1,000 texts of 300 speeches; the standard error of a share near 95 % is then 0.7 %.
    """
    texts, speeches = 1000, 300
    generator = np.random.default_rng(1)
    for true in (0.0, 0.05):
        covered = a_better = 0
        for _ in range(texts):
            sizes = 2 + generator.geometric(1 / 100, speeches)
            text = "\n\n".join("x" * (size - 2) for size in sizes) + "\n\n"
            shared = generator.gamma(4, 0.5, speeches)  # bits per byte: mean 2
            own = generator.normal(0, 0.15, speeches)
            scores = {
                name: [scored(np.repeat(bits, sizes) * math.log(2), text)]
                for name, bits in {"a": shared - true + own, "b": shared}.items()
            }
            draws = statistics.bootstrap(scores, seed=int(generator.integers(2**32)))
            low, high = statistics.interval(draws["a"] - draws["b"])
            covered += low <= -true <= high
            a_better += high < 0
        with capsys.disabled():
            print(f"true difference {true}: {covered / texts:.1%} covered, "
                  f"'a is better' {a_better / texts:.1%}")  # fmt: skip
        assert 0.93 <= covered / texts <= 0.97
        assert true > 0 or a_better / texts <= 0.05 + 2 * 0.007
