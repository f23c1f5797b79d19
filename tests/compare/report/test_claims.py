"""The questions are few, and their answers state only what the intervals support."""

from __future__ import annotations

import math

import numpy as np
import pytest

from compare.corpus.parts import Part
from compare.kinds import RowKind
from compare.report.claims import claims, pair_matrix
from compare.report.differences import Difference, PartDifference, Question
from compare.report.results import Interval, PartScore, ResultRow
from compare.ruler.intervals import MIN_PART_UNITS, Uncertainty
from compare.ruler.scoring import Score
from compare.ruler.text_units import split_into_units
from tests.result_rows import BASE, make_row

TEXT = "A speech of it.\n\n" * 2 * MIN_PART_UNITS
PARTS = [Part("The Shrew", 0, len(TEXT) // 2), Part("The Tempest", len(TEXT) // 2, len(TEXT))]


def difference(whole: Interval | None, **by_play: Interval | None) -> Difference:
    """Return the difference between fine-tuned and tuned, with these intervals."""

    def middle(bounds: Interval | None) -> float:
        return sum(bounds) / 2 if bounds else -0.1

    return Difference(
        question=Question.FROM_SCRATCH,
        a="fine-tuned",
        b="tuned",
        delta_bits_per_byte=middle(whole),
        ci95=whole,
        by_play={
            name: PartDifference(delta_bits_per_byte=middle(bounds), ci95=bounds)
            for name, bounds in by_play.items()
        },
        by_word_class={},
    )


def test_fewer_more_or_no_difference_shown() -> None:
    fewer = difference((-0.4, -0.2)).sentence
    assert fewer == "fine-tuned needs 0.300 fewer bits per byte [0.200, 0.400] than tuned"
    more = difference((0.2, 0.4)).sentence
    assert more == "fine-tuned needs 0.300 more bits per byte [0.200, 0.400] than tuned"
    none = difference((-0.05, 0.15)).sentence
    assert none == "fine-tuned and tuned: no difference is shown [−0.050, +0.150]"


def test_a_difference_of_one_direction_in_all_parts_is_stated_once() -> None:
    sentence = difference((-0.4, -0.2), Shrew=(-0.5, -0.1), Tempest=(-0.4, -0.1)).sentence
    assert sentence == difference((-0.4, -0.2)).sentence


def test_a_difference_that_one_part_alone_shows_is_stated_for_that_part() -> None:
    sentence = difference((-0.4, -0.2), Shrew=(-0.1, 0.1), Tempest=(-0.4, -0.1)).sentence
    assert sentence == (
        "fine-tuned against tuned: in Tempest, 0.250 fewer bits per byte [0.100, 0.400]; in Shrew, "
        "no difference is shown [−0.100, +0.100]; over the whole text, 0.300 fewer bits per byte "
        "[0.200, 0.400]"
    )
    opposite = difference((-0.4, -0.2), Shrew=(0.1, 0.2), Tempest=(-0.8, -0.6)).sentence
    assert "in Shrew, 0.150 more bits per byte" in opposite
    assert "in Tempest, 0.700 fewer bits per byte" in opposite


def test_a_part_without_an_interval_changes_no_sentence() -> None:
    assert difference((-0.4, -0.2), Shrew=None).sentence == difference((-0.4, -0.2)).sentence


def test_too_short_a_text_supports_no_claim() -> None:
    sentence = difference(None, Shrew=None).sentence
    assert "no difference is claimed, because the text is too short" in sentence
    assert "fewer" not in sentence and "[" not in sentence


def measured(
    kinds: dict[RowKind, float], seed: int = 0
) -> tuple[list[ResultRow], Uncertainty, dict[str, list[Score]]]:
    """Return rows with about these bits per byte on TEXT, their uncertainty, and their scores."""
    rng = np.random.default_rng(seed)
    ends = np.arange(1, len(TEXT) + 1)
    scores, rows = {}, []
    for kind, bits in kinds.items():
        nats = bits * math.log(2) + 0.1 * rng.standard_normal(len(TEXT))
        scores[kind.value] = [Score(nats, ends, TEXT)]
        mean = float(nats.mean()) / math.log(2)
        by_play = {part.name: PartScore(bits_per_byte=mean) for part in PARTS}
        rows.append(make_row(kind, mean, by_play=by_play))
    part_ends = [part.end for part in PARTS]
    uncertainty = Uncertainty(scores, split_into_units(TEXT), part_ends, draws=5000)
    return rows, uncertainty, scores


def test_the_questions_are_few_and_the_first_is_that_of_the_study() -> None:
    """The scratch preset is the one with the best validation score, whatever its test score."""
    kinds = {
        RowKind.FINE_TUNED: 1.8,
        RowKind.LORA: 1.9,
        RowKind.ZERO_SHOT: 2.0,
        RowKind.RANDOM_WEIGHTS: 2.3,
        RowKind.COURSE: 2.1,
        RowKind.TUNED: 2.4,
        RowKind.N_GRAM: 2.2,
    }
    rows, uncertainty, _ = measured(kinds)
    found = claims(rows, RowKind.TUNED, [BASE], [], PARTS, uncertainty)
    assert [(each.question, each.a, each.b) for each in found] == [
        (Question.FROM_SCRATCH, "fine-tuned", "tuned"),
        (Question.PRETRAINING, "fine-tuned", "from random weights"),
        (Question.FINE_TUNING, "fine-tuned", "zero-shot"),
        (Question.N_GRAM, "tuned", "n-gram"),
    ]
    for each in found:
        low, high = each.ci95
        assert low < each.delta_bits_per_byte < high
        assert each.by_play.keys() == {part.name for part in PARTS}
        assert all(part.ci95 for part in each.by_play.values())


def test_the_first_base_comes_first_and_every_base_has_its_questions() -> None:
    kinds = {
        RowKind.FINE_TUNED: 1.8,
        RowKind.ZERO_SHOT: 2.0,
        RowKind.LORA: 1.9,
        RowKind.RANDOM_WEIGHTS: 2.3,
        RowKind.TUNED: 2.4,
        RowKind.N_GRAM: 2.2,
    }
    rows, uncertainty, _ = measured(kinds)
    bases = {"fine-tuned": "real", "zero-shot": "real", "LoRA fine-tuned": "small"}
    rows = [row.model_copy(update={"base": bases.get(row.name, row.base)}) for row in rows]
    rows = [
        row.model_copy(update={"base": "small"}) if row.kind is RowKind.RANDOM_WEIGHTS else row
        for row in rows
    ]
    found = claims(rows, RowKind.TUNED, ["real", "small"], [], PARTS, uncertainty)
    assert [(each.question, each.a, each.b) for each in found] == [
        (Question.FROM_SCRATCH, "fine-tuned", "tuned"),
        (Question.FINE_TUNING, "fine-tuned", "zero-shot"),
        (Question.FROM_SCRATCH, "LoRA fine-tuned", "tuned"),
        (Question.PRETRAINING, "LoRA fine-tuned", "from random weights"),
        (Question.N_GRAM, "tuned", "n-gram"),
    ]


def test_questions_whose_rows_are_missing_are_left_out() -> None:
    rows, uncertainty, _ = measured({RowKind.LORA: 1.9, RowKind.COURSE: 2.1})
    (only,) = claims(rows, RowKind.COURSE, [BASE], [], PARTS, uncertainty)
    assert (only.a, only.b) == ("LoRA fine-tuned", "course")


def test_claims_hold_together_and_pairs_one_by_one() -> None:
    kinds = {RowKind.FINE_TUNED: 2.0, RowKind.TUNED: 2.0, RowKind.ZERO_SHOT: 2.0}
    rows, uncertainty, scores = measured(kinds)
    together = {
        (each.a, each.b): each.ci95
        for each in claims(rows, RowKind.TUNED, [BASE], [], PARTS, uncertainty)
    }
    pairs = pair_matrix(rows, list(scores), uncertainty)
    assert len(pairs) == 3
    compared = 0
    for pair in pairs:
        if (pair.a, pair.b) in together:
            low, high = together[pair.a, pair.b]
            assert high - low > 1.1 * (pair.ci95[1] - pair.ci95[0])
            compared += 1
    assert compared == 2


def test_without_uncertainty_there_are_differences_and_no_intervals() -> None:
    rows, _, scores = measured({RowKind.FINE_TUNED: 1.0, RowKind.TUNED: 2.709})
    (only,) = claims(rows, RowKind.TUNED, [BASE], [], PARTS, None)
    assert only.ci95 is None and only.delta_bits_per_byte == pytest.approx(-1.709, abs=0.05)
    assert all(pair.ci95 is None for pair in pair_matrix(rows, list(scores), None))
