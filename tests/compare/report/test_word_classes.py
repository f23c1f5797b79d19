"""Word classes tile the text, and their nats add up to those of the whole score."""

from __future__ import annotations

import math

import numpy as np
import pytest

from compare.report import word_classes
from compare.ruler.scoring import Score

TRAIN = "the the " * 60 + "king"
TEXT = "KING LEAR:\nthe king, née Lear:\nthe End.\n\nFOOL:\nthe the\n"


def test_words_are_sorted_into_kinds() -> None:
    ends, found = word_classes.classify_words(TEXT, TRAIN)
    data = TEXT.encode()
    cut = [data[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]
    assert list(zip(cut, (word_classes.WORD_CLASSES[each] for each in found), strict=True)) == [
        ("KING", "speaker names"),
        (" LEAR:", "speaker names"),
        ("\nthe", "line starts"),
        (" king,", "rare words"),
        (" née", "unseen words"),
        (" Lear:", "unseen words"),  # the line ends in a colon, but begins no speech
        ("\nthe", "line starts"),
        (" End.", "unseen words"),
        ("\n\nFOOL:", "speaker names"),
        ("\nthe", "line starts"),
        (" the\n", "common words"),
    ]


def test_bits_by_kind_add_up_to_the_score() -> None:
    size = len(TEXT.encode())
    nats = np.random.default_rng(0).exponential(2.0, size)
    score = Score(nats, np.arange(1, size + 1), TEXT)
    found = word_classes.by_word_class({"m": score}, TEXT, TRAIN)
    assert sum(each.bytes for each in found) == size
    bits = sum(each.bits_per_word["m"] * each.words for each in found)
    assert bits == pytest.approx(nats.sum() / math.log(2))
    assert bits == pytest.approx(sum(each.bits_per_byte["m"] * each.bytes for each in found))


def test_a_kind_that_does_not_occur_is_left_out() -> None:
    score = Score(np.ones(3), np.array([1, 2, 3]), "a b")
    assert [each.word_class for each in word_classes.by_word_class({"m": score}, "a b", "a b")] == [
        "line starts",
        "rare words",
    ]
