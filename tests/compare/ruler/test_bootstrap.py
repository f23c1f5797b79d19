"""Blocks at speech boundaries, and intervals that are paired."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare.ruler import bootstrap
from compare.ruler.scoring import Score

TEXT = "ROMEO:\nAy me!\n\nJULIET:\nHe speaks.\n\nROMEO:\nO, speak again!\n"


def scored(nats_per_byte: np.ndarray, text: str) -> Score:
    """A score with one token for every byte."""
    return Score(nats_per_byte, np.arange(1, len(text) + 1), text)


def parts(text: str) -> tuple[str, list[str]]:
    """The kind of a text's blocks, and the blocks."""
    blocks, data = bootstrap.split_into_blocks(text), text.encode()
    ends = blocks.ends.tolist()
    return blocks.kind, [data[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]


def test_blocks_end_after_the_blank_line_of_a_speech() -> None:
    kind, speeches = parts(TEXT + "\n" + TEXT * 20)
    assert kind == "speeches or paragraphs"
    assert speeches[:4] == [
        "ROMEO:\nAy me!\n\n",
        "JULIET:\nHe speaks.\n\n",
        "ROMEO:\nO, speak again!\n\n",
        "ROMEO:\nAy me!\n\n",
    ]
    assert parts("A\n\n" * 30)[1] == ["A\n\n"] * 30
    assert parts("A\n \n\n\t\n" * 30)[1] == ["A\n \n\n\t\n"] * 30


def test_with_too_few_speeches_blocks_are_lines_and_with_too_few_lines_pieces() -> None:
    assert parts("A\n\n" * 28 + "B\nC")[1][-3:] == ["A\n\n", "B\n", "C"]
    assert parts("a line\n" * 30) == ("lines", ["a line\n"] * 30)
    kind, pieces = parts("a line\n" * 29)
    assert kind == "pieces of about 200 bytes" and len(pieces) == 1


WORDS = "to be or not to be that is the question whether it is nobler in the mind to suffer "
ONE_LINE = {
    "words": WORDS * 100,
    "no spaces": "x" * 8000,
    "characters of two bytes": "\u00e9" * 4001,
    "characters of three bytes": "\u8a69" * 3001,
    "characters of four bytes": "\U0001f3ad" * 2001,
    "one space in a while": ("y" * 290 + " ") * 30,
}


@pytest.mark.parametrize("text", ONE_LINE.values(), ids=ONE_LINE.keys())
def test_pieces_tile_a_text_of_one_line_at_characters_and_white_space(text: str) -> None:
    kind, pieces = parts(text)  # decodes each: no character is cut in two
    assert kind == "pieces of about 200 bytes" and "".join(pieces) == text
    sizes = [len(piece.encode()) for piece in pieces]
    assert len(pieces) >= bootstrap.MIN_BLOCKS and bootstrap.split_into_blocks(text).enough
    assert all(100 < size <= 300 for size in sizes[:-1]) and 0 < sizes[-1] <= 300
    if text.startswith("to be"):
        assert all(piece.endswith(" ") for piece in pieces[:-1])


@given(st.text(st.sampled_from("a \u00e9\u8a69\n\t"), max_size=3000))
def test_blocks_tile_any_text(text: str) -> None:
    kind, blocks = parts(text)
    assert "".join(blocks) == text
    assert all(blocks) or not text
    assert (len(blocks) >= bootstrap.MIN_BLOCKS) or kind.startswith("pieces")


@pytest.mark.parametrize("text", [WORDS * 100, "x" * 8000, "a line of it\n" * 500])
def test_a_text_without_blank_lines_has_an_interval_with_width(text: str) -> None:
    noise = np.random.default_rng(0).exponential(2.0, (2, len(text)))
    a, b = (scored(each, text) for each in noise)
    draws = bootstrap.resample({"a": [a], "b": [b]})
    low, high = bootstrap.interval(draws["a"])
    assert high - low > 0.01 and low < a.nats.mean() / math.log(2) < high
    low, high = bootstrap.interval(draws["a"] - draws["b"])
    assert high - low > 0.01


def test_below_thirty_blocks_there_is_no_interval_and_the_reason_is_given() -> None:
    text = "A line.\n" * 29
    assert bootstrap.resample({"a": [scored(np.ones(len(text)), text)]}) == {}
    assert bootstrap.interval(None) is None
    (note,) = bootstrap.notes(bootstrap.split_into_blocks(text))
    assert "too short for intervals" in note and "30 are needed" in note
    assert bootstrap.notes(bootstrap.split_into_blocks(text + "A line.\n")) == []


def test_a_constant_difference_is_known_exactly_because_draws_are_paired() -> None:
    text = TEXT * 20
    noise = np.random.default_rng(0).exponential(2.0, len(text))
    a, b = scored(noise, text), scored(noise + math.log(2), text)
    draws = bootstrap.resample({"a": [a], "b": [b]})
    assert draws["a"].shape == (bootstrap.RESAMPLES,)
    low, high = bootstrap.interval(draws["b"] - draws["a"])
    assert math.isclose(low, 1.0) and math.isclose(high, 1.0)
    low, high = bootstrap.interval(draws["a"])
    assert low < noise.mean() / math.log(2) < high


def test_runs_that_differ_widen_the_interval_by_the_error_of_their_mean() -> None:
    text = TEXT * 20
    flat = np.full(len(text), math.log(2))  # every byte one bit: the text's choice adds nothing
    runs = [scored(flat * (1 + shift), text) for shift in (-0.1, 0.0, 0.1)]
    draws = bootstrap.resample({"row": runs})["row"]
    assert draws.mean() == pytest.approx(1.0, abs=0.01)
    assert draws.std() == pytest.approx(0.1 / math.sqrt(3), rel=0.05)
    assert bootstrap.resample({"row": runs[:1]})["row"].std() == pytest.approx(0)
    assert bootstrap.mean(runs).nats.sum() == pytest.approx(flat.sum())


@pytest.mark.slow
def test_intervals_cover_what_they_should(capsys: pytest.CaptureFixture[str]) -> None:
    """Speeches of uneven length and difficulty, and two models whose difference varies by speech.

    1,000 texts of 300 speeches; the standard error of a share near 95% is then 0.7%.
    """
    texts, speeches = 1000, 300
    generator = np.random.default_rng(1)
    for true in (0.0, 0.05):
        covered = a_better = 0
        for _ in range(texts):
            sizes = 2 + generator.geometric(1 / 100, speeches)
            text = "\n\n".join("x" * (size - 2) for size in sizes) + "\n\n"
            shared = generator.gamma(4, 0.5, speeches)  # bits per byte: mean 2
            own = generator.normal(0, 0.15, speeches)
            scores = {
                name: [scored(np.repeat(bits, sizes) * math.log(2), text)]
                for name, bits in {"a": shared - true + own, "b": shared}.items()
            }
            draws = bootstrap.resample(scores, seed=int(generator.integers(2**32)))
            low, high = bootstrap.interval(draws["a"] - draws["b"])
            covered += low <= -true <= high
            a_better += high < 0
        with capsys.disabled():
            print(
                f"true difference {true}: {covered / texts:.1%} covered, "
                f"'a is better' {a_better / texts:.1%}"
            )
        assert 0.93 <= covered / texts <= 0.97
        assert true > 0 or a_better / texts <= 0.05 + 2 * 0.007
