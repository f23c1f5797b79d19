"""Units end at the boundaries of speeches, lines or pieces, and cover the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare.ruler import text_units

TEXT = "ROMEO:\nAy me!\n\nJULIET:\nHe speaks.\n\nROMEO:\nO, speak again!\n"


def parts(text: str) -> tuple[str, list[str]]:
    """Return the kind of a text's units, and the units."""
    blocks, data = text_units.split_into_units(text), text.encode()
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
    assert len(pieces) >= text_units.MIN_UNITS and text_units.split_into_units(text).enough
    assert all(100 < size <= 300 for size in sizes[:-1]) and 0 < sizes[-1] <= 300
    if text.startswith("to be"):
        assert all(piece.endswith(" ") for piece in pieces[:-1])


@given(st.text(st.sampled_from("a \u00e9\u8a69\n\t"), max_size=3000))
def test_blocks_tile_any_text(text: str) -> None:
    kind, blocks = parts(text)
    assert "".join(blocks) == text
    assert all(blocks) or not text
    assert (len(blocks) >= text_units.MIN_UNITS) or kind.startswith("pieces")
