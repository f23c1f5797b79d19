"""How often the intervals contain the truth, on simulated texts whose dependence is known.

The texts are as long as the study's test split and as dependent as its differences: two plays of
190 and 310 speeches, whose noise is half white and half autoregressive (0.9 per speech), which
gives neighbors a correlation of 0.45.  The tests print what they find.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from compare.ruler.intervals import (
    MIN_PART_UNITS,
    Uncertainty,
    interval,
    simultaneous_intervals,
)
from compare.ruler.scoring import Score
from compare.ruler.text_units import FEW_UNITS, TextUnits, UnitKind

PLAYS = (190, 310)  # speeches
REPETITIONS = 1000
DRAWS = 1000  # fewer than usual, because the rates come from many texts
SPEECH_NOISE = 30.0  # nats, for a speech of 100 bytes
INTERACTION_NOISE = 8.0  # nats: how differently two runs find a speech

pytestmark = pytest.mark.slow


def autoregressive(n: int, rng: np.random.Generator, coefficient: float) -> np.ndarray:
    """Return `n` values of variance 1, each correlated with its neighbors."""
    noise = rng.standard_normal(n + 200) * math.sqrt(1 - coefficient**2)
    values = np.zeros(n + 200)
    for index in range(1, n + 200):
        values[index] = coefficient * values[index - 1] + noise[index]
    return values[200:]


class World:
    """A text, and models whose true bits per byte are known."""

    def __init__(
        self,
        rng: np.random.Generator,
        coefficient: float,
        share: float,
        plays: Sequence[int] = PLAYS,
    ) -> None:
        self.rng, self.plays = rng, plays
        self.sizes = np.ceil(np.exp(rng.normal(4.5, 0.8, sum(plays))))
        self.coefficient, self.share = coefficient, share
        self.units = TextUnits(UnitKind.SPEECHES, np.cumsum(self.sizes).astype(np.int64))
        self.part_ends = self.units.ends[np.cumsum(plays) - 1].tolist()

    def text_noise(self) -> np.ndarray:
        """Return by how many nats each speech is harder or easier than expected."""
        rng = self.rng
        dependent = np.concatenate([autoregressive(n, rng, self.coefficient) for n in self.plays])
        white = rng.standard_normal(len(self.sizes))
        noise = math.sqrt(self.share) * dependent + math.sqrt(1 - self.share) * white
        return SPEECH_NOISE * noise * np.sqrt(self.sizes / 100)

    def row(self, nats_per_byte: float, runs: int, seed_noise: float) -> list[Score]:
        """Return the scores of a recipe's runs, with one token per speech."""
        shared, rng = self.text_noise(), self.rng
        return [
            Score(
                self.sizes * (nats_per_byte + seed_noise * rng.standard_normal())
                + shared
                + INTERACTION_NOISE * rng.standard_normal(len(self.sizes)),
                self.units.ends,
                "",
            )
            for _ in range(runs)
        ]


@pytest.mark.parametrize("runs", [1, 2, 3, 5])
@pytest.mark.parametrize("seed_noise", [0.002, 0.02], ids=["little seed noise", "much seed noise"])
def test_intervals_contain_the_true_difference(
    runs: int, seed_noise: float, capsys: pytest.CaptureFixture
) -> None:
    """With a single run, the truth is that run's own score: its interval covers no other seeds."""
    rng = np.random.default_rng(runs)
    seed_noise = 0.0 if runs == 1 else seed_noise
    contained = []
    for _ in range(REPETITIONS):
        world = World(rng, coefficient=0.9, share=0.5)
        rows = {"a": world.row(1.3, runs, seed_noise), "b": world.row(1.3, runs, seed_noise)}
        uncertainty = Uncertainty(rows, world.units, world.part_ends, draws=DRAWS)
        low, high = interval(uncertainty.difference("a", "b"))
        contained.append(low <= 0 <= high)
    coverage = float(np.mean(contained))
    with capsys.disabled():
        print(
            f"\n{runs} runs, seed noise {seed_noise}: the truth is in {coverage:.1%} of intervals"
        )
    assert 0.93 <= coverage <= 0.98


@pytest.mark.parametrize(("speeches", "least"), [(35, 0.78), (100, 0.84), (FEW_UNITS, 0.86)])
def test_intervals_on_short_texts_are_as_narrow_as_the_note_says(
    speeches: int, least: float, capsys: pytest.CaptureFixture
) -> None:
    rng = np.random.default_rng(3)
    contained = []
    for _ in range(REPETITIONS):
        world = World(rng, coefficient=0.9, share=0.5, plays=(speeches,))
        rows = {"a": world.row(1.3, 1, 0), "b": world.row(1.3, 1, 0)}
        uncertainty = Uncertainty(rows, world.units, world.part_ends, draws=DRAWS)
        low, high = interval(uncertainty.difference("a", "b"))
        contained.append(low <= 0 <= high)
    coverage = float(np.mean(contained))
    with capsys.disabled():
        print(f"\n{speeches} speeches: the truth is in {coverage:.1%} of intervals")
    assert least <= coverage <= 0.98


@pytest.mark.parametrize(
    ("parts", "runs", "claims", "at_most"),
    [(PLAYS, 3, 15, 0.05), ((50, 50, 50), 1, 5, 0.07), ((MIN_PART_UNITS,) * 3, 1, 20, 0.10)],
    ids=["plays", "short thirds", "long thirds"],
)
def test_claims_hold_together(
    parts: tuple[int, ...], runs: int, claims: int, at_most: float, capsys: pytest.CaptureFixture
) -> None:
    """Six rows are equally good, so that every claim about them is wrong.

    With a single run, the truth is again that run's own score.
    """
    rng = np.random.default_rng(7)
    wrong = []
    for _ in range(REPETITIONS):
        world = World(rng, coefficient=0.9, share=0.5, plays=parts)
        seed_noise = 0.01 if runs > 1 else 0.0
        rows = {str(number): world.row(1.3, runs, seed_noise) for number in range(6)}
        uncertainty = Uncertainty(rows, world.units, world.part_ends, draws=DRAWS)
        shown = [None, *filter(uncertainty.has_interval, range(len(parts)))]
        estimates = [
            uncertainty.difference("0", other, part) for other in "12345" for part in shown
        ]
        assert len(estimates) == claims
        wrong.append(any(not low <= 0 <= high for low, high in simultaneous_intervals(estimates)))
    share = float(np.mean(wrong))
    with capsys.disabled():
        print(
            f"\n{claims} claims at once, parts of {parts}: at least one is wrong in {share:.1%} of "
            "studies"
        )
    assert share <= at_most + 2 * math.sqrt(at_most * (1 - at_most) / REPETITIONS)
