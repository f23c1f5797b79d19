"""The cache returns tokenizer and ids exactly as stored, and only if the entry is intact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from scratch_lm import token_cache as token_cache

TEXT = (
    "To be, or not to be <|endoftext|>: that is the question.\n \N{GREEK SMALL LETTER ALPHA}" * 50
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tiny-shakespeare-study" / "scratch_lm"


def saved(tokenizer: PreTrainedTokenizerBase, folder: Path) -> dict[str, bytes]:
    tokenizer.save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_second_call_computes_nothing_and_returns_the_same(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, ids = token_cache.load_or_train(TEXT, 290, 32)
    monkeypatch.setattr(token_cache, "train_tokenizer", None)  # must not be called again
    cached, cached_ids = token_cache.load_or_train(TEXT, 290, 32)
    assert np.array_equal(ids, cached_ids) and ids.dtype == cached_ids.dtype
    assert saved(trained, tmp_path / "trained") == saved(cached, tmp_path / "cached")


def test_every_text_and_vocabulary_size_has_its_own_entry(cache: Path) -> None:
    for text, vocabulary in ((TEXT, 290), (TEXT, 291), (TEXT + "!", 290)):
        tokenizer, ids = token_cache.load_or_train(text, vocabulary, 32)
        assert len(tokenizer) == vocabulary and tokenizer.decode(ids) == text
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_damaged_entry_is_recomputed(
    cache: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    _, ids = token_cache.load_or_train(TEXT, 290, 32)
    (entry,) = cache.iterdir()
    intact = entry.read_bytes()
    at = int(share * len(intact))
    for damaged in (intact[:at], intact[:at] + bytes([intact[at] ^ 255]) + intact[at + 1 :]):
        entry.write_bytes(damaged)
        assert np.array_equal(token_cache.load_or_train(TEXT, 290, 32)[1], ids)
    monkeypatch.setattr(token_cache, "train_tokenizer", None)  # the entry is intact again
    assert np.array_equal(token_cache.load_or_train(TEXT, 290, 32)[1], ids)
