"""How many times the text the scratch track would need, where the true answer is known.

The curve of the scratch track falls by 0.2 bits per byte with each doubling of the text.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from compare.kinds import BaseKind, RowKind, Track
from compare.report import worth
from compare.report.results import BaseResult, Results, RunResult
from compare.report.worth import ScoredCurve, ScoredPoint, compare_curves
from compare.report.worth_results import TextEquivalent, Worth, WorthCurve, WorthPoint
from compare.report.worth_story import WorthStory, tell_worth
from compare.ruler.intervals import Uncertainty
from compare.ruler.scoring import Score
from compare.ruler.text_units import split_into_units
from tests.run_records import BASE

TEXT = "A speech of it.\n\n" * 80
CHARACTERS = 1_000_000  # of the whole training split
CURVE = {0.125: 2.6, 0.25: 2.4, 0.5: 2.2, 1.0: 2.0}
NOISE = 0.05  # nats per byte


@pytest.fixture(autouse=True)
def fewer_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as these tests need, which make every statement several times."""
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
    return compared(fine_tuned, scratch, **details)[0]


def compared(
    fine_tuned: dict[float, float], scratch: dict[float, float] = CURVE, **details: float
) -> tuple[list[TextEquivalent], bool]:
    curves = [
        curve("fine-tuned", fine_tuned, details.get("runs", 3), details.get("noise", NOISE)),
        curve("scratch", scratch, details.get("runs", 3), details.get("noise", NOISE)),
    ]
    rows = {point.row: point.scores for each in curves for point in each.points}
    uncertainty = Uncertainty(rows, split_into_units(TEXT), [len(TEXT)], draws=1000)
    return compare_curves(*curves, uncertainty)


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
        f"({share * CHARACTERS:,.0f} characters) scores like scratch on "
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
        "scores like scratch on an amount of text that these runs do not bound"
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
    found, base_is_better = compared({0: 2.9, 0.125: 2.3, 1.0: 2.1})
    assert [each.share for each in found] == [0.125, 1] and not base_is_better


@pytest.mark.parametrize(
    ("bits", "noise", "is_better"), [(1.5, NOISE, True), (1.99, 1.0, False), (2.3, NOISE, False)]
)
def test_a_base_better_than_the_whole_curve_is_noticed(
    bits: float, noise: float, is_better: bool
) -> None:
    """Only if its interval shows that it is better than the curve's end, too."""
    assert compared({0: bits, 0.125: 1.4, 1.0: 1.3}, noise=noise)[1] == is_better
    assert not compared({0.125: 1.4, 1.0: 1.3}, noise=noise)[1]  # a control has no base


def test_a_bound_of_as_much_text_is_worded_so() -> None:
    (at_least,) = equivalents({1.0: 2.0})
    fields = at_least.model_dump() | {"low": 1.0, "high": None, "is_off_the_curve": False}
    assert TextEquivalent(**fields).sentence.endswith(
        "scores like scratch on at least as much text, with no upper bound shown"
    )
    fields |= {"low": None, "high": 1.0}
    assert TextEquivalent(**fields).sentence.endswith(
        "scores like scratch on at most as much text, with no lower bound shown"
    )


def told(
    runs: dict[float, int], base_kind: BaseKind = BaseKind.OTHER, **differing: Any
) -> WorthStory:
    """Return the sentences on two curves, whose points have so many runs by their share."""
    curves = [
        WorthCurve(
            name=name,
            kind=RowKind.TUNED,
            base=base,
            points=[
                WorthPoint(
                    share=share,
                    characters=100,
                    epochs=5,
                    seeds=number,
                    bits_per_byte=2.0,
                    ci95=None,
                )
                for share, number in runs.items()
            ],
        )
        for name, base in (("some/base fine-tuned", "some/base"), ("Scratch (tuned)", None))
    ]
    values = {"equivalents": [EQUIVALENT, EQUIVALENT]} | differing
    identity = BASE.identity.model_copy(update={"kind": base_kind})
    run = RunResult.model_construct(
        name="Scratch (record)", track=Track.SCRATCH, run="record-seed1"
    )
    found = tell_worth(
        Results.model_construct(
            worth=Worth(curves=curves, **values),
            bases=[BaseResult(identity=identity, parameters=1, description="")],
            runs=[run],
            chosen={Track.SCRATCH: run.run},
        )
    )
    assert found
    return found


EQUIVALENT = TextEquivalent(
    fine_tuned="some/base fine-tuned",
    share=0.5,
    characters=100,
    scratch="Scratch (tuned)",
    smallest_share=0.5,
    low=2.0,
    high=None,
    is_off_the_curve=True,
)


def test_nothing_is_claimed_of_lengths_where_the_untouched_base_is_better() -> None:
    usual, off = told({0.5: 3, 1: 3}), told({0.5: 3, 1: 3}, base_is_better=True)
    assert len(usual.statements) == 2 and "more than 2 times" in usual.statements[0]
    assert "These 2 statements hold simultaneously" in usual.conditions
    assert "straight between its points" in usual.conditions
    assert off.statements == [
        "some/base needs fewer bits per byte than Scratch (tuned) on all of the text even before "
        "fine-tuning, so this text is too short to say how much more of it the scratch track would "
        "need. some/base may have read the test text in its pretraining."
    ]
    assert "This holds with 95% confidence" in off.conditions
    stand_in = told({0.5: 3, 1: 3}, BaseKind.STAND_IN, base_is_better=True)
    assert "may have read" not in stand_in.statements[0]


@pytest.mark.parametrize(
    ("runs", "caveat"),
    [
        ({0.125: 3, 1: 3}, None),
        ({0.125: 1, 1: 1}, "Each point has a single run, so"),
        ({0.125: 1, 0.25: 1, 1: 3}, "Each point on a share of the text has a single run, so"),
        (
            {0.125: 1, 0.25: 3, 1: 1},
            "seed: some/base fine-tuned on 1/8 and all of the text; Scratch (tuned) on 1/8 and all",
        ),
    ],
)
def test_points_with_a_single_run_are_named_beside_the_confidence(
    runs: dict[float, int], caveat: str | None
) -> None:
    conditions = told(runs).conditions
    assert ("with the seed" in conditions) == (caveat is not None)
    assert caveat is None or caveat in conditions


def test_the_rule_and_the_limits_of_the_curve_are_told() -> None:
    conditions = told({0.5: 3, 1: 3}).conditions
    assert "for the numbers of epochs in the table" in conditions
    assert "the one compared is the best on validation with all of the text" in conditions
    assert "or a better recipe such as Scratch (record), would move its curve" in conditions


def test_shares_that_are_no_simple_fraction_are_percentages() -> None:
    (found,) = equivalents({0.3: 2.3})
    assert found.sentence.startswith(
        "fine-tuned on 30% of the text (300,000 characters) scores like"
    )
