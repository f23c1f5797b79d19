"""Tokens tile the bytes of any text, and a text in pieces has the tokens of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Tokenizer

from compare import encoding

BLANKS = "\u00a0\u2003\x1c\x85\r\n\t  a!'"


@pytest.fixture(scope="module")
def tokenizer() -> GPT2Tokenizer:
    empty = GPT2Tokenizer(vocab={"<|endoftext|>": 0}, merges=[])
    return empty.train_new_from_iterator(["the cat sat on the mat. " * 9], 270, show_progress=False)


@given(text=st.text(min_size=1))
def test_byte_spans_tile_any_text(tokenizer: GPT2Tokenizer, text: str) -> None:
    ids, ends = encoding.encode(tokenizer, text)
    assert tokenizer.decode(ids) == text
    assert len(ids) == len(ends)
    assert np.all(np.diff(ends, prepend=0) >= 0)
    assert ends[-1] == len(text.encode())


def test_spelled_out_special_token_is_ordinary_text(tokenizer: GPT2Tokenizer) -> None:
    ids, ends = encoding.encode(tokenizer, "the <|endoftext|> cat")
    assert tokenizer.eos_token_id not in ids
    assert ends[-1] == 21


def test_spans_are_the_tokens_bytes(tokenizer: GPT2Tokenizer) -> None:
    text = "the cat \u2014 the mat"
    ids, ends = encoding.encode(tokenizer, text)
    data = text.encode()
    spans = [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    ascii_only = [(i, s) for i, s in zip(ids, spans, strict=True) if s and max(s) < 128]
    assert len(ascii_only) > 3
    for token, span in ascii_only:
        assert tokenizer.decode([token]).encode() == span


def test_tokenizer_that_cannot_spell_the_text_is_refused() -> None:
    tokenizer = GPT2Tokenizer(vocab={"<|endoftext|>": 0, "a": 1, "?": 2}, merges=[], unk_token="?")
    with pytest.raises(ValueError, match="no token for some characters"):
        encoding.encode(tokenizer, "ab")


@given(text=st.text(st.characters(codec="utf-8") | st.sampled_from(BLANKS), min_size=1))
def test_pieces_have_the_tokens_of_the_whole(tokenizer: GPT2Tokenizer, text: str) -> None:
    whole = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    parts = list(encoding.pieces(text, 5))
    assert "".join(parts) == text
    found = [tokenizer(part, split_special_tokens=True)["input_ids"] for part in parts]
    assert [token for each in found for token in each] == whole


def test_long_text_in_pieces(tiny_shakespeare: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tokenizer learnt from pieces, and what it makes of pieces, are those of the whole."""
    text = tiny_shakespeare[:200_000]
    empty = GPT2Tokenizer(vocab={"<|endoftext|>": 0}, merges=[])
    whole, learnt = (
        empty.train_new_from_iterator(texts, 1000, show_progress=False)
        for texts in ([text], encoding.pieces(text, 999))
    )
    assert whole.get_vocab() == learnt.get_vocab()
    ids, ends = encoding.encode(whole, text)
    monkeypatch.setattr(encoding.pieces, "__defaults__", (999,))
    again, same_ends = encoding.encode(whole, text)
    assert np.array_equal(ids, again) and np.array_equal(ends, same_ends)
    assert len(list(encoding.pieces(text))) > 100
