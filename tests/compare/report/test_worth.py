"""How many times the text the scratch track would need, where the true answer is known.

The curve of the scratch track falls by 0.2 bits per byte with each doubling of the text.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from compare.kinds import RowKind
from compare.report import worth
from compare.report.worth import ScoredCurve, ScoredPoint, text_equivalents
from compare.report.worth_results import TextEquivalent, WorthPoint
from compare.ruler import intervals
from compare.ruler.intervals import Uncertainty
from compare.ruler.scoring import Score
from compare.ruler.text_units import split_into_units

TEXT = "A speech of it.\n\n" * 80
CHARACTERS = 1_000_000  # of the whole training split
CURVE = {0.125: 2.6, 0.25: 2.4, 0.5: 2.2, 1.0: 2.0}
NOISE = 0.05  # nats per byte


@pytest.fixture(autouse=True)
def fewer_draws_and_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as these tests need, which make every statement several times."""
    monkeypatch.setattr(intervals, "DRAWS", 1000)
    monkeypatch.setattr(worth, "STEPS_PER_DOUBLING", 16)


def curve(name: str, bits: dict[float, float], runs: int, noise: float = NOISE) -> ScoredCurve:
    """A recipe with these bits per byte by its share of the text, which 0 stands for none of."""
    rng = np.random.default_rng(len(name))
    points = []
    for share, mean in bits.items():
        scores = []
        for _ in range(runs):
            nats = mean * math.log(2) + noise * rng.standard_normal(len(TEXT))
            scores.append(Score(nats, np.arange(1, len(TEXT) + 1), TEXT))
        result = WorthPoint(
            share=share,
            characters=round(share * CHARACTERS),
            epochs=5,
            seeds=runs,
            bits_per_byte=mean,
            ci95=None,
        )
        points.append(ScoredPoint(f"{name}, {share}", result, scores))
    return ScoredCurve(name, RowKind.TUNED, None, points)


def equivalents(
    fine_tuned: dict[float, float], scratch: dict[float, float] = CURVE, **details: float
) -> list[TextEquivalent]:
    curves = [
        curve("fine-tuned", fine_tuned, details.get("runs", 3), details.get("noise", NOISE)),
        curve("scratch", scratch, details.get("runs", 3), details.get("noise", NOISE)),
    ]
    rows = {point.row: point.scores for each in curves for point in each.points}
    uncertainty = Uncertainty(rows, split_into_units(TEXT), [len(TEXT)])
    return text_equivalents(*curves, uncertainty)


@pytest.mark.parametrize(
    ("share", "bits", "times"),
    [
        (0.125, 2.3, 2.83),  # halfway between 1/4 and 1/2, in doublings
        (0.125, 2.4, 2.0),  # exactly at a point
        (0.25, 2.1, 2.83),
        (1.0, 2.5, 0.177),
    ],
)
def test_a_score_within_the_curve_is_met_around_the_true_length(
    share: float, bits: float, times: float
) -> None:
    (found,) = equivalents({share: bits})
    assert not found.is_off_the_curve and found.low < times < found.high
    assert found.high / found.low < 2
    assert found.sentence == (
        f"fine-tuned on {'all' if share == 1 else f'1/{1 / share:g}'} of the text "
        f"({share * CHARACTERS:,.0f} characters) equals scratch on "
        f"{found.low:g} to {found.high:g} times as much text"
    )


def test_a_score_better_than_the_whole_curve_has_no_upper_bound() -> None:
    eighth, whole = equivalents({0.125: 1.7, 1.0: 1.5})
    assert (eighth.low, eighth.high) == (8, None) and eighth.is_off_the_curve
    assert eighth.sentence == (
        "fine-tuned on 1/8 of the text (125,000 characters) needs fewer bits per byte than scratch "
        "on all of it: more than 8 times as much text would be needed"
    )
    assert (whole.low, whole.high) == (1, None) and whole.is_off_the_curve
    assert whole.sentence.endswith("than scratch on all of it: more text would be needed")


def test_a_score_worse_than_the_whole_curve_has_no_lower_bound() -> None:
    eighth, whole = equivalents({0.125: 3.0, 1.0: 2.9})
    assert (eighth.low, eighth.high) == (None, 1) and eighth.is_off_the_curve
    assert eighth.sentence.endswith(
        "more bits per byte than scratch on 1/8 of the text: less text would be enough"
    )
    assert (whole.low, whole.high) == (None, 0.13)
    assert whole.sentence.endswith("less than 0.13 times as much text would be enough")


def test_what_the_interval_does_not_exclude_is_not_claimed() -> None:
    """At the ends of the curve, the interval leaves open what is beyond them."""
    (at_the_end,) = equivalents({0.125: 2.0})
    assert at_the_end.high is None and not at_the_end.is_off_the_curve
    assert 4 < at_the_end.low < 8
    assert "on at least" in at_the_end.sentence and "no upper bound" in at_the_end.sentence
    (at_the_start,) = equivalents({0.125: 2.6})
    assert at_the_start.low is None and not at_the_start.is_off_the_curve
    assert 1 < at_the_start.high < 2
    assert "on at most" in at_the_start.sentence and "no lower bound" in at_the_start.sentence
    (unknown,) = equivalents({0.125: 2.3}, runs=2, noise=20.0)
    assert (unknown.low, unknown.high) == (None, None)
    assert unknown.sentence.endswith(
        "equals scratch on an amount of text that these runs do not bound"
    )


def test_a_curve_that_turns_up_again_keeps_every_length_that_may_be_the_true_one() -> None:
    """It meets 2.3 at 2.8 times the text, and again between 4 and 8 times."""
    (found,) = equivalents({0.125: 2.3}, {0.125: 2.6, 0.25: 2.4, 0.5: 2.2, 1.0: 2.4})
    assert found.low < 2.83 and found.high is None and not found.is_off_the_curve


def test_more_shares_widen_the_statements_because_they_hold_together() -> None:
    (alone,) = equivalents({0.125: 2.3}, noise=0.5)
    together = equivalents({0.125: 2.3, 0.25: 2.3, 0.5: 2.3, 1.0: 2.3}, noise=0.5)
    assert together[0].low <= alone.low and alone.high <= together[0].high
    assert together[0].high / together[0].low > alone.high / alone.low


def test_the_base_before_fine_tuning_is_compared_with_no_length_of_text() -> None:
    assert [each.share for each in equivalents({0: 2.9, 0.125: 2.3, 1.0: 2.1})] == [0.125, 1]


def test_shares_that_are_no_simple_fraction_are_percentages() -> None:
    (found,) = equivalents({0.3: 2.3})
    assert found.sentence.startswith("fine-tuned on 30% of the text (300,000 characters) equals")
