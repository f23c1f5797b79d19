"""Training on a share of the text, or without one of its plays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compare import corpus as corpora
from compare.corpus.parts import PLAY_STARTS
from compare.corpus.subsets import left_out_play, training_plays, training_subset
from compare.errors import Misuse

CORPUS = corpora.load("tiny-shakespeare")  # into the cache that tests/conftest.py has set


@pytest.mark.parametrize("share", [0.125, 0.25, 0.5])
def test_a_share_has_that_much_of_every_play_and_whole_speeches(share: float) -> None:
    subset = training_subset(CORPUS, share)
    assert len(subset.train) == pytest.approx(share * len(CORPUS.train), rel=0.05)
    speeches = set(CORPUS.train.split("\n\n"))
    assert all(speech in speeches for speech in subset.train.strip().split("\n\n"))
    for title in training_plays():
        play = left_out_play(CORPUS, title)
        kept = sum(len(speech) for speech in subset.train.split("\n\n") if speech in play)
        assert kept == pytest.approx(share * len(play), rel=0.35)
    assert (subset.validation, subset.test) == (CORPUS.validation, CORPUS.test)


def test_a_smaller_share_is_contained_in_a_larger_one() -> None:
    eighth, half = (training_subset(CORPUS, share).train.split("\n\n") for share in (0.125, 0.5))
    assert set(eighth) <= set(half)


def test_all_of_the_text_is_the_text() -> None:
    assert training_subset(CORPUS, 1.0) == CORPUS


def test_any_text_has_shares() -> None:
    other = replace(CORPUS, sha256="0" * 64, train="word " * 1000)
    assert len(training_subset(other, 0.5).train) == pytest.approx(2500, rel=0.02)


def test_a_play_is_left_out_and_nothing_else() -> None:
    play = left_out_play(CORPUS, "Richard II")
    assert play.startswith("KING RICHARD II:\nOld John of Gaunt")
    rest = training_subset(CORPUS, without="Richard II").train
    assert len(rest) + len(play) == len(CORPUS.train)
    assert "Old John of Gaunt" not in rest


def test_seven_plays_are_wholly_in_the_training_split() -> None:
    ends = [start for _, start in PLAY_STARTS[1:]]
    whole = [
        title
        for (title, _), end in zip(PLAY_STARTS, ends, strict=False)
        if end <= len(CORPUS.train)
    ]
    assert training_plays() == whole and len(whole) == 7


@pytest.mark.parametrize("title", ["Hamlet", "The Tempest", "richard ii"])
def test_a_play_that_training_does_not_have_is_refused(title: str) -> None:
    with pytest.raises(Misuse, match=f"no play called '{title}'.*Coriolanus"):
        training_subset(CORPUS, without=title)


def test_another_text_has_no_plays() -> None:
    with pytest.raises(Misuse, match=r"my-novel\.txt has no play"):
        left_out_play(replace(CORPUS, sha256="0" * 64, name="my-novel.txt"), "Coriolanus")
