"""Tokens tile the bytes of any text, and pieces have the same tokens as the whole text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import GPT2Tokenizer, PreTrainedTokenizerFast

from compare.corpus import encoding
from compare.corpus.encoding import UnusableTokenizer
from compare.errors import Failure

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
    with pytest.raises(UnusableTokenizer, match="the text: 'b' becomes '"):
        encoding.encode(tokenizer, "ab")


def of_bytes(tokenizer: GPT2Tokenizer, **parts: object) -> PreTrainedTokenizerFast:
    """Return a copy of `tokenizer` with another normalizer, pre-tokenizer or decoder."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    for name, part in parts.items():
        setattr(backend, name, part)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")


def of_words(blanks: pre_tokenizers.PreTokenizer) -> PreTrainedTokenizerFast:
    """Return a tokenizer of words that drops whatever `blanks` removes between them."""
    words = ["<unk>", "the", "cat", "sat"]
    backend = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, "<unk>"))
    backend.pre_tokenizer = blanks
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


def of_sentence_pieces(
    normalizer: normalizers.Normalizer | None = None,
    splitter: pre_tokenizers.PreTokenizer | None = None,
) -> PreTrainedTokenizerFast:
    """Return a tokenizer like Llama's: spaces are part of tokens, and rare characters are bytes."""
    tokens = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "t", "h", "▁t", "▁th"]
    merges = [("▁", "t"), ("▁t", "h")]
    backend = Tokenizer(
        models.BPE({t: at for at, t in enumerate(tokens)}, merges, byte_fallback=True)
    )
    if normalizer:
        backend.normalizer = normalizer
    if splitter:
        backend.pre_tokenizer = splitter
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


def always_in_front() -> PreTrainedTokenizerFast:
    return of_sentence_pieces(
        normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    )


def in_front_where_there_is_none() -> PreTrainedTokenizerFast:
    return of_sentence_pieces(splitter=pre_tokenizers.Metaspace(prepend_scheme="first"))


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"normalizer": normalizers.Lowercase()}, "the Cat"),
        ({"normalizer": normalizers.NFKC()}, "the \ufb01sh"),
        ({"normalizer": normalizers.NFC()}, "cafe\u0301"),
        ({"normalizer": normalizers.StripAccents()}, "cafe\u0301"),
        ({"normalizer": normalizers.Strip()}, " the cat"),
        ({"normalizer": normalizers.Strip()}, "the cat\n"),
        ({"normalizer": normalizers.Strip()}, " "),
        ({"normalizer": normalizers.Replace("\n", " ")}, "the\ncat"),
        ({"normalizer": normalizers.BertNormalizer(lowercase=True)}, "The\ncat"),
        ({"decoder": decoders.WordPiece()}, "the cat"),
    ],
    ids=str,
)
def test_a_tokenizer_that_loses_bytes_is_refused(
    tokenizer: GPT2Tokenizer, parts: dict[str, object], text: str
) -> None:
    spoiled = of_bytes(tokenizer, **parts)
    for encode in (encoding.encode, encoding.token_ids):
        with pytest.raises(UnusableTokenizer, match="does not reproduce the text") as error:
            encode(spoiled, text)
        assert isinstance(error.value, Failure)  # one line, where it is not foreseen
    if "normalizer" in parts:
        assert encoding.encode(spoiled, "the cat")[1][-1] == 7  # of which nothing is lost


@pytest.mark.parametrize("text", ["the  cat", "the\ncat", "the cat sat"])
def test_a_tokenizer_of_words_alone_is_refused(text: str) -> None:
    with pytest.raises(UnusableTokenizer):
        encoding.encode(of_words(pre_tokenizers.WhitespaceSplit()), text + "\n")


@pytest.mark.parametrize("make", [always_in_front, in_front_where_there_is_none])
@given(text=st.text(st.sampled_from("th \n▁") | st.characters(codec="utf-8"), min_size=1))
def test_a_space_put_in_front_of_a_text_is_no_loss(make, text: str) -> None:
    tokenizer = make()
    if "▁" in text:  # which the tokenizer takes for a space
        with pytest.raises(UnusableTokenizer):
            encoding.encode(tokenizer, text)
        return
    ids, ends = encoding.encode(tokenizer, text)
    assert len(ids) == len(ends) and ends[-1] == len(text.encode())
    assert np.all(np.diff(ends, prepend=0) >= 0)
    assert tokenizer.backend_tokenizer.decode(ids) in (text, text[1:])


@given(text=st.text(min_size=1))
def test_a_space_that_stays_in_front_of_a_text_is_no_loss(
    tokenizer: GPT2Tokenizer, text: str
) -> None:
    in_front = of_bytes(tokenizer, pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True))
    _, ends = encoding.encode(in_front, text)
    assert ends[-1] == len(text.encode())


def test_a_long_text_is_asked_for_piece_by_piece(
    tokenizer: GPT2Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss in a late piece is also detected and shown."""
    monkeypatch.setattr(encoding.pieces, "__defaults__", (50,))
    few = GPT2Tokenizer(vocab={"<|endoftext|>": 0, "a": 1, "Ġ": 2}, merges=[])
    encoding.encode(few, "a a " * 100)
    with pytest.raises(UnusableTokenizer, match="'b' becomes ''"):
        encoding.encode(few, "a a " * 100 + "ab a")


@given(text=st.text(st.characters(codec="utf-8") | st.sampled_from(BLANKS), min_size=1))
def test_pieces_have_the_tokens_of_the_whole(tokenizer: GPT2Tokenizer, text: str) -> None:
    whole = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    parts = list(encoding.pieces(text, 5))
    assert "".join(parts) == text
    found = [tokenizer(part, split_special_tokens=True)["input_ids"] for part in parts]
    assert [token for each in found for token in each] == whole


def test_long_text_in_pieces(tiny_shakespeare: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training on pieces and encoding in pieces give the same result as using the whole text."""
    text = tiny_shakespeare[:200_000]
    empty = GPT2Tokenizer(vocab={"<|endoftext|>": 0}, merges=[])
    whole, learned = (
        empty.train_new_from_iterator(texts, 1000, show_progress=False)
        for texts in ([text], encoding.pieces(text, 999))
    )
    assert whole.get_vocab() == learned.get_vocab()
    ids, ends = encoding.encode(whole, text)
    monkeypatch.setattr(encoding.pieces, "__defaults__", (999,))
    again, same_ends = encoding.encode(whole, text)
    assert np.array_equal(ids, again) and np.array_equal(ends, same_ends)
    assert len(list(encoding.pieces(text))) > 100
