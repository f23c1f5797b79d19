"""Tokenizer and ids come from the cache as they were made, and only when they are whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scratch_lm import cache as encoding

TEXT = (
    "To be, or not to be <|endoftext|>: that is the question.\n \N{GREEK SMALL LETTER ALPHA}" * 50
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tiny-shakespeare-study" / "scratch_lm"


def saved(tokenizer: object, folder: Path) -> dict[str, bytes]:
    tokenizer.save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_second_time_nothing_is_made_but_all_is_the_same(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, ids = encoding.encoded(TEXT, 290, 32)
    monkeypatch.setattr(encoding, "train_tokenizer", None)  # must not be called again
    kept, again = encoding.encoded(TEXT, 290, 32)
    assert np.array_equal(ids, again) and ids.dtype == again.dtype
    assert saved(made, tmp_path / "made") == saved(kept, tmp_path / "kept")


def test_text_and_vocabulary_have_entries_of_their_own(cache: Path) -> None:
    for text, vocabulary in ((TEXT, 290), (TEXT, 291), (TEXT + "!", 290)):
        tokenizer, ids = encoding.encoded(text, vocabulary, 32)
        assert len(tokenizer) == vocabulary and tokenizer.decode(ids) == text
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_spoiled_entry_is_made_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    _, ids = encoding.encoded(TEXT, 290, 32)
    (entry,) = cache.iterdir()
    good = entry.read_bytes()
    at = int(share * len(good))
    for bad in (good[:at], good[:at] + bytes([good[at] ^ 255]) + good[at + 1 :]):
        entry.write_bytes(bad)
        assert np.array_equal(encoding.encoded(TEXT, 290, 32)[1], ids)
    monkeypatch.setattr(encoding, "train_tokenizer", None)  # the entry is good again
    assert np.array_equal(encoding.encoded(TEXT, 290, 32)[1], ids)
