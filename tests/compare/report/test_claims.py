"""Sentences say what the intervals support, and no more."""

from __future__ import annotations

import numpy as np

from compare.kinds import RowKind
from compare.report.claims import differences
from tests.result_rows import make_row


def sentence(draws: np.ndarray, delta: float) -> str:
    """About fine-tuned against tuned, if their difference has these bootstrap draws."""
    rows = [make_row(RowKind.FINE_TUNED, 2.0 + delta), make_row(RowKind.TUNED, 2.0)]
    drawn = {"fine-tuned": 2.0 + draws, "tuned": np.full(len(draws), 2.0)}
    (difference,) = differences(rows, drawn, [], RowKind.TUNED)
    return difference.sentence


def test_less_more_or_no_difference_shown() -> None:
    spread = np.linspace(-0.1, 0.1, 2001)  # 95% of it within 0.095
    less, more = sentence(spread - 0.3, -0.3), sentence(spread + 0.3, 0.3)
    assert less == "fine-tuned needs 0.300 bits per byte less than tuned [0.205, 0.395]"
    assert more == "fine-tuned needs 0.300 bits per byte more than tuned [0.205, 0.395]"
    none = sentence(spread + 0.05, 0.05)
    assert none == "fine-tuned and tuned: no difference shown [-0.045, +0.145]"


def test_too_short_a_text_supports_no_claim() -> None:
    """One block is drawn as itself each time, and would make every difference seem certain."""
    rows = [make_row(RowKind.FINE_TUNED, 1.0), make_row(RowKind.TUNED, 2.709)]
    (difference,) = differences(rows, {}, [], RowKind.TUNED)
    assert difference.ci95 is None and difference.delta_bits_per_byte == 1.0 - 2.709
    assert "the text is too short" in difference.sentence
    assert "less" not in difference.sentence and "[" not in difference.sentence


def pairs(bits: dict[RowKind, float], best_scratch: RowKind) -> list[tuple[str, str]]:
    rows = [make_row(kind, value) for kind, value in bits.items()]
    drawn = {row.name: np.full(10, row.bits_per_byte) for row in rows}
    found = differences(rows, drawn, [], best_scratch)
    return [(difference.a, difference.b) for difference in found]


def test_what_validation_chose_comes_first_whatever_the_test_split_says() -> None:
    bits = {RowKind.FINE_TUNED: 1.8, RowKind.COURSE: 2.1, RowKind.TUNED: 2.4}
    expected = [("fine-tuned", "tuned"), ("fine-tuned", "course"), ("tuned", "course")]
    assert pairs(bits, best_scratch=RowKind.TUNED) == expected


def test_low_rank_fine_tuning_is_held_against_scratch_and_against_full() -> None:
    kinds = (RowKind.FINE_TUNED, RowKind.LORA, RowKind.TUNED, RowKind.ZERO_SHOT)
    found = pairs(dict.fromkeys(kinds, 2.0), best_scratch=RowKind.TUNED)
    assert found[0] == ("fine-tuned", "tuned")
    assert {("LoRA fine-tuned", "tuned"), ("LoRA fine-tuned", "zero-shot")} < set(found)
    assert ("fine-tuned", "LoRA fine-tuned") in found
