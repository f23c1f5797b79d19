"""The passage consists of whole speeches, and its tokens tile it."""

from __future__ import annotations

import math

import numpy as np

from compare.report import surprisal
from compare.ruler.scoring import Score


def test_whole_speeches_from_the_middle(tiny_shakespeare: str) -> None:
    text = tiny_shakespeare[-55_770:]
    start, end = surprisal.passage(text)
    assert text[:start].endswith("\n\n") and text[end:].startswith("\n\n")
    assert surprisal.SHORTEST_PASSAGE <= end - start <= surprisal.LONGEST_PASSAGE
    assert start >= len(text) // 2


def test_a_text_without_speeches_gives_a_piece_all_the_same() -> None:
    assert surprisal.passage("x" * 5000) == (2500, 2500 + surprisal.LONGEST_PASSAGE)
    assert surprisal.passage("a b c") == (2, 5)


def test_a_character_of_several_tokens_has_the_bits_of_all_of_them() -> None:
    score = Score(np.array([1.0, 2.0, 4.0]) * math.log(2), np.array([2, 2, 3]), "éa")
    assert surprisal.by_token(score, 0, 2) == [("é", 3.0), ("a", 4.0)]


def test_tokens_tile_a_passage_of_wide_characters() -> None:
    text = "né à ça"
    ends = np.array([1, 3, 4, 7, 9, 10])  # n, é, " ", "à ", ç, a
    score = Score(np.arange(1.0, 7.0) * math.log(2), ends, text)
    assert surprisal.by_token(score, 3, 7) == [("à ", 4.0), ("ç", 5.0), ("a", 6.0)]
