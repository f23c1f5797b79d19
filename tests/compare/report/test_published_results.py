"""A GPT-2 result far from published ones gets a note; no other result does."""

from __future__ import annotations

import math

import pytest

from compare.kinds import RowKind
from compare.report.published_results import notes
from tests.result_rows import make_row


@pytest.mark.parametrize(
    ("name", "bits", "noted"),
    [
        ("openai-community/gpt2 zero-shot", 1.85, False),
        ("openai-community/gpt2 zero-shot", 2.30, True),
        ("openai-community/gpt2 fine-tuned", 1.53, False),
        ("openai-community/gpt2 fine-tuned", 1.80, True),
        ("openai-community/gpt2 fine-tuned", 1.20, True),  # has it seen the test split?
        ("stand-in-3.7m fine-tuned", 2.30, False),
    ],
)
def test_far_from_what_was_published(name: str, bits: float, noted: bool) -> None:
    row = make_row(RowKind.FINE_TUNED, 2.0, name=name, nanogpt_val_nats_per_char=bits * math.log(2))
    sentences = notes([row], is_tiny_shakespeare=True)
    assert bool(sentences) == noted and all(name in sentence for sentence in sentences)
    assert not notes([row], is_tiny_shakespeare=False)
