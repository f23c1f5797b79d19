"""A GPT-2 result far from published ones gets a note; no other result does."""

from __future__ import annotations

import math

import pytest

from compare.kinds import RowKind
from compare.report.published_results import notes
from tests.result_rows import make_row


@pytest.mark.parametrize(
    ("base", "kind", "bits", "noted"),
    [
        ("openai-community/gpt2", RowKind.ZERO_SHOT, 1.85, False),
        ("openai-community/gpt2", RowKind.ZERO_SHOT, 2.30, True),
        ("openai-community/gpt2", RowKind.FINE_TUNED, 1.53, False),
        ("openai-community/gpt2", RowKind.FINE_TUNED, 1.80, True),
        ("openai-community/gpt2", RowKind.FINE_TUNED, 1.20, True),  # has it seen the test split?
        ("openai-community/gpt2", RowKind.RANDOM_WEIGHTS, 2.30, False),
        ("stand-in-3.7m", RowKind.FINE_TUNED, 2.30, False),
    ],
)
def test_far_from_what_was_published(base: str, kind: RowKind, bits: float, noted: bool) -> None:
    row = make_row(kind, 2.0, base=base, nanogpt_val_nats_per_char=bits * math.log(2))
    sentences = notes([row], is_tiny_shakespeare=True)
    assert bool(sentences) == noted and all(row.name in sentence for sentence in sentences)
    assert not notes([row], is_tiny_shakespeare=False)
