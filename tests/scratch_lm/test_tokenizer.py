"""The tokenizer is lossless on any text, and trained on the training split alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Tokenizer

from scratch_lm.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tiny_shakespeare: str) -> GPT2Tokenizer:
    return train_tokenizer(tiny_shakespeare[:100_000], 512, 128)


@given(text=st.text())
def test_any_text_survives_the_round_trip(tokenizer: GPT2Tokenizer, text: str) -> None:
    ids = tokenizer(text, split_special_tokens=True)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_vocabulary_has_the_requested_size_and_contains_words(tokenizer: GPT2Tokenizer) -> None:
    assert len(tokenizer) == 512
    assert len(tokenizer(" the")["input_ids"]) == 1


def test_a_text_with_too_few_merges_for_the_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match=r"yields only \d+ tokens: lower --vocabulary from 4096"):
        train_tokenizer("To be, or not to be.", 4096, 128)
