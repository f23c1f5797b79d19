"""The parts of a text: the plays of Tiny Shakespeare, chapters with headings, or thirds.

A difference between two models can be large in one part of a text and absent in another, so scores
are also given for each part.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from compare.corpus import Corpus

# Titles of the plays in Tiny Shakespeare, and where they start: the text itself has no titles.
PLAY_STARTS = (
    ("Coriolanus", 0),
    ("Richard III", 154_470),
    ("Richard II", 317_027),
    ("Romeo and Juliet", 442_993),
    ("Henry VI, Part 3", 576_460),
    ("The Winter's Tale", 710_427),
    ("Measure for Measure", 846_171),
    ("The Taming of the Shrew", 966_133),
    ("The Tempest", 1_080_739),
)
# Lines that begin a chapter: first-level headings in Markdown or WikiText, and lines whose first
# word is, for instance, "Chapter".
HEADING = re.compile(
    r"^(?:# .+| = [^=\n]+ = |(?:CHAPTER|Chapter|BOOK|Book|PART|Part|ACT|Act)\b.*)$",
    re.MULTILINE,
)
MAX_MARKED_PARTS = 6  # more parts would be too many for a table, and too short to score
MIN_SHARE = 0.1  # of the split, for each marked part


@dataclass(frozen=True)
class Part:
    """A part of a split: its name, and its character offsets [start, end) in the split."""

    name: str
    start: int
    end: int


def parts_of_test(corpus: Corpus) -> list[Part]:
    """Return the parts of the test split, which are contiguous and cover it."""
    text = corpus.test
    if corpus.is_tiny_shakespeare:
        return _plays(len(corpus.train) + len(corpus.validation), len(text))
    return _marked(text) or _thirds(text)


def _plays(start: int, length: int) -> list[Part]:
    """Return the plays within `length` characters of Tiny Shakespeare from `start` on."""
    starts = [first for _, first in PLAY_STARTS] + [start + length]
    parts = []
    for (title, first), next_first in zip(PLAY_STARTS, starts[1:], strict=True):
        begin, end = max(first - start, 0), min(next_first - start, length)
        if begin < end:
            parts.append(Part(title, begin, end))
    return parts


def _marked(text: str) -> list[Part]:
    """Return the parts that headings mark, or [] if they are too few, too many or too short."""
    headings = list(HEADING.finditer(text))
    starts = [0, *(heading.start() for heading in headings if heading.start())]
    ends = [*starts[1:], len(text)]
    sizes = [end - start for start, end in zip(starts, ends, strict=True)]
    if not 2 <= len(starts) <= MAX_MARKED_PARTS or min(sizes) < MIN_SHARE * len(text):
        return []
    titles = {heading.start(): heading[0].strip(" =#") for heading in headings}
    return [
        Part(titles.get(start, "the beginning"), start, end)
        for start, end in zip(starts, ends, strict=True)
    ]


def _thirds(text: str) -> list[Part]:
    """Return the thirds of the text, extended to the next whitespace within 200 characters."""
    borders = [0]
    for third in (1, 2):
        border = len(text) * third // 3
        space = re.compile(r"\s").search(text, border, border + 200)
        borders.append(space.end() if space else border)
    borders.append(len(text))
    names = ("the first third", "the second third", "the last third")
    return [
        Part(name, start, end)
        for name, (start, end) in zip(names, pairwise(borders), strict=True)
        if start < end
    ]
