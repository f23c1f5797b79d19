"""Sentences say what the intervals support, and no more."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.report.claims import differences
from compare.ruler import bootstrap

LONG, SHORT = (bootstrap.cut("A line.\n" * number) for number in (30, 7))


def row(kind: str, bits: float) -> dict[str, Any]:
    track = "scratch_lm" if kind in ("course", "tuned") else "gpt2_finetune"
    return {"name": kind, "kind": kind, "track": track, "bits_per_byte": bits, "bytes": 100}


def sentence(draws: np.ndarray, delta: float) -> str:
    """About fine-tuned against tuned, when their difference is drawn so."""
    table = [row("fine-tuned", 2.0 + delta), row("tuned", 2.0)]
    drawn = {"fine-tuned": 2.0 + draws, "tuned": np.full(len(draws), 2.0)}
    (found,) = differences(table, drawn, kinds=[], chosen="tuned", blocks=LONG)
    return found["sentence"]


def test_less_more_or_no_difference_shown() -> None:
    spread = np.linspace(-0.1, 0.1, 2001)  # 95 % of it within 0.095
    less, more = sentence(spread - 0.3, -0.3), sentence(spread + 0.3, 0.3)
    assert less == "fine-tuned needs 0.300 bits per byte less than tuned [0.205, 0.395]"
    assert more == "fine-tuned needs 0.300 bits per byte more than tuned [0.205, 0.395]"
    none = sentence(spread + 0.05, 0.05)
    assert none == "fine-tuned and tuned: no difference shown [-0.045, +0.145]"


def test_too_short_a_text_supports_no_claim() -> None:
    """One block is drawn as itself each time, and would make every difference seem certain."""
    table = [row("fine-tuned", 1.0), row("tuned", 2.709)]
    (found,) = differences(table, {}, kinds=[], chosen="tuned", blocks=SHORT)
    assert found["ci95"] is None and found["delta_bits_per_byte"] == 1.0 - 2.709
    assert "too short for an interval (1 block, 30 are needed)" in found["sentence"]
    assert "less" not in found["sentence"] and "[" not in found["sentence"]


def test_what_validation_chose_comes_first_whatever_the_test_split_says() -> None:
    table = [row("fine-tuned", 1.8), row("course", 2.1), row("tuned", 2.4)]
    drawn = {each["name"]: np.full(10, each["bits_per_byte"]) for each in table}
    found = differences(table, drawn, kinds=[], chosen="tuned", blocks=LONG)
    pairs = [(each["a"], each["b"]) for each in found]
    assert pairs == [("fine-tuned", "tuned"), ("fine-tuned", "course"), ("tuned", "course")]


def test_low_rank_fine_tuning_is_held_against_scratch_and_against_full() -> None:
    names = ("fine-tuned", "LoRA fine-tuned", "tuned", "zero-shot")
    table = [row(name, 2.0) for name in names]
    drawn = {name: np.full(10, 2.0) for name in names}
    found = differences(table, drawn, kinds=[], chosen="tuned", blocks=LONG)
    pairs = [(each["a"], each["b"]) for each in found]
    assert pairs[0] == ("fine-tuned", "tuned")
    assert {("LoRA fine-tuned", "tuned"), ("LoRA fine-tuned", "zero-shot")} < set(pairs)
    assert ("fine-tuned", "LoRA fine-tuned") in pairs
