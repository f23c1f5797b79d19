"""Verbatim copies are found, and counted as a fraction of the generated text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare.report.memorization import longest_copy, measure_memorization

TRAIN = "to be or not to be that is the question whether tis nobler in the mind to suffer"


def test_shares_of_copied_sequences() -> None:
    found = measure_memorization(
        "m", ["to be or not to be that is the question and so to bed"], TRAIN
    )
    # 14 words: 10 sequences of 5, of which the first 6 lie within the 10 copied words.
    assert found.words == 14
    assert found.copied_5 == pytest.approx(6 / 10)
    assert found.copied_10 == pytest.approx(1 / 5)
    assert found.longest == "to be or not to be that is the question "
    assert found.distinct_1 == pytest.approx(11 / 14)
    assert found.repeated_4 == 0


def test_sequences_do_not_reach_over_two_texts() -> None:
    found = measure_memorization("m", ["to be or not", "to be that is"], TRAIN)
    assert found.copied_5 == 0 and found.words == 8


def test_a_model_that_repeats_itself() -> None:
    found = measure_memorization("m", ["o " * 12], TRAIN)
    assert found.repeated_4 == pytest.approx(8 / 9) and found.distinct_2 == 1 / 11


@given(st.text("ab ", max_size=30), st.text("ab ", max_size=60))
def test_the_longest_copy_is_a_copy_and_none_is_longer(text: str, train: str) -> None:
    found = longest_copy(text, train)
    assert found in text and found in train
    longer = len(found) + 1
    assert not any(text[at : at + longer] in train for at in range(len(text) - longer + 1))
