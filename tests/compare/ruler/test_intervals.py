"""Intervals are paired, respect dependence and the number of runs, and hold together.

How often they contain the truth is simulated in `test_coverage.py`.
"""

from __future__ import annotations

import math
from itertools import accumulate

import numpy as np
import pytest

from compare.ruler.intervals import (
    MIN_PART_UNITS,
    Uncertainty,
    interval,
    simultaneous_intervals,
)
from compare.ruler.metrics import Interval
from compare.ruler.scoring import Score, mean_score
from compare.ruler.text_units import split_into_units

TEXT = "ROMEO:\nAy me!\n\nJULIET:\nHe speaks.\n\nROMEO:\nO, speak again!\n\n" * 30
ENDS = [len(TEXT) // 2, len(TEXT)]


def scored(nats_per_byte: np.ndarray, text: str = TEXT) -> Score:
    """Return a score with one token per byte."""
    return Score(nats_per_byte, np.arange(1, len(text) + 1), text)


def uncertainty(rows: dict[str, list[Score]], ends: list[int] | None = None) -> Uncertainty:
    """Return the uncertainty of these scores, with fewer draws than usual to save time."""
    text = next(iter(rows.values()))[0].text
    return Uncertainty(rows, split_into_units(text), ends or [len(text)], draws=5000)


def width(bounds: Interval) -> float:
    return bounds[1] - bounds[0]


@pytest.mark.parametrize("text", [TEXT, "To be or not. " * 500, "x" * 8000, "a line\n" * 500])
def test_any_text_of_some_length_has_an_interval_with_width(text: str) -> None:
    noise = np.random.default_rng(0).exponential(2.0, (2, len(text)))
    rows = {"a": [scored(noise[0], text)], "b": [scored(noise[1], text)]}
    low, high = interval(uncertainty(rows).score("a"))
    assert high - low > 0.01 and low < noise[0].mean() / math.log(2) < high
    assert width(interval(uncertainty(rows).difference("a", "b"))) > 0.01


def test_a_text_of_few_units_is_refused() -> None:
    text = "A line.\n" * 29
    with pytest.raises(ValueError, match="too few"):
        uncertainty({"a": [scored(np.ones(len(text)), text)]})


def test_a_constant_difference_is_known_exactly_because_it_is_paired() -> None:
    noise = np.random.default_rng(0).exponential(2.0, len(TEXT))
    rows = uncertainty({"a": [scored(noise)], "b": [scored(noise + math.log(2))]})
    low, high = interval(rows.difference("b", "a"))
    assert math.isclose(low, 1.0) and math.isclose(high, 1.0)
    assert width(interval(rows.score("a"))) > 0.01


def test_rows_with_the_same_scores_differ_by_exactly_nothing() -> None:
    same = scored(np.random.default_rng(0).exponential(2.0, len(TEXT)))
    assert interval(uncertainty({"a": [same], "b": [same]}).difference("a", "b")) == (0.0, 0.0)


def test_dependence_of_neighbors_widens_the_interval() -> None:
    """The values are the same, once in random order and once sorted."""
    values = np.random.default_rng(1).standard_normal(90)
    units = split_into_units(TEXT)
    sizes = np.diff(units.ends, prepend=0)
    widths = []
    for luck in (values, np.sort(values)):
        nats = np.repeat(1.3 + 0.1 * luck, sizes)
        widths.append(width(interval(uncertainty({"a": [scored(nats)]}).score("a"))))
    independent, dependent = widths
    assert dependent > 1.5 * independent


def runs_of(means: list[float]) -> list[Score]:
    """Return runs with these bits per byte, the same for every byte of the text."""
    return [scored(np.full(len(TEXT), mean * math.log(2))) for mean in means]


def test_runs_enter_with_students_t_for_their_number() -> None:
    """Without noise in the text, the interval is that of textbooks, mean +- t s / sqrt(n)."""
    rows = uncertainty({"two": runs_of([0.9, 1.1]), "five": runs_of([0.8, 0.9, 1.0, 1.1, 1.2])})
    low, high = interval(rows.score("two"))
    assert (low + high) / 2 == pytest.approx(1.0)
    assert width((low, high)) / 2 == pytest.approx(12.71 * 0.1414 / math.sqrt(2), rel=0.15)
    low, high = interval(rows.score("five"))
    assert width((low, high)) / 2 == pytest.approx(2.776 * 0.1581 / math.sqrt(5), rel=0.05)


def test_a_single_run_is_taken_as_it_is() -> None:
    rows = uncertainty({"one": runs_of([1.0])})
    assert interval(rows.score("one")) == pytest.approx((1.0, 1.0))


def test_intervals_that_hold_together_are_wider_than_one_alone() -> None:
    rng = np.random.default_rng(0)
    rows = uncertainty({name: [scored(rng.exponential(2.0, len(TEXT)))] for name in "abcdef"})
    estimates = [rows.difference("a", other) for other in "bcdef"]
    together = simultaneous_intervals(estimates)
    for estimate, bounds in zip(estimates, together, strict=True):
        alone = interval(estimate)
        assert width(bounds) > 1.1 * width(alone)
        assert sum(bounds) == pytest.approx(sum(alone)) == pytest.approx(2 * estimate.value)


def test_each_part_has_its_own_score_and_the_whole_is_their_mean() -> None:
    nats = np.concatenate([np.full(ENDS[0], 1.0), np.full(len(TEXT) - ENDS[0], 2.0)])
    noise = np.random.default_rng(0).exponential(1.0, len(TEXT)) - 1
    rows = uncertainty({"a": [scored(nats + noise)], "b": [scored(np.ones(len(TEXT)))]}, ENDS)
    first, second = (rows.difference("a", "b", part).value for part in (0, 1))
    assert first == pytest.approx(0, abs=0.2)
    assert second == pytest.approx(1 / math.log(2), abs=0.2)
    sizes = np.array([ENDS[0], len(TEXT) - ENDS[0]])
    whole = np.average([first, second], weights=sizes)
    assert rows.difference("a", "b").value == pytest.approx(whole, abs=0.01)


@pytest.mark.parametrize(
    ("lengths", "have_intervals", "blocks"),
    [
        ((50, 50, 50), (False, False, False), 1),
        ((MIN_PART_UNITS, MIN_PART_UNITS, MIN_PART_UNITS), (True, True, True), 3),
        ((MIN_PART_UNITS, MIN_PART_UNITS - 1), (True, False), 1),
    ],
)
def test_short_parts_have_no_intervals_and_are_resampled_with_the_whole_text(
    lengths: tuple[int, ...], have_intervals: tuple[bool, ...], blocks: int
) -> None:
    unit = "A speech.\n\n"
    text = unit * sum(lengths)
    ends = [len(unit) * number for number in accumulate(lengths)]
    noise = np.random.default_rng(0).exponential(2.0, len(text))
    rows = uncertainty({"a": [scored(noise, text)]}, ends)
    assert tuple(rows.has_interval(part) for part in range(len(lengths))) == have_intervals
    assert len(rows.block_lengths) == blocks


def test_the_mean_of_runs_averages_their_nats() -> None:
    assert mean_score(runs_of([1.0, 3.0])).metrics.bits_per_byte == pytest.approx(2.0)
