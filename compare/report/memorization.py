"""Does a model recite?  How much of what it writes stands word for word in the training split.

Real text of the test split is measured the same way: the yardstick for what is mere English.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any


def recital(texts: Sequence[str], train: str) -> dict[str, Any]:
    """Figures of `texts` against `train`; an n-gram is n words in a row within one text.

    `copied_5` and `copied_10`: share of 5-grams and 10-grams that are in `train`;
    `longest`: the longest passage of characters that is;
    `distinct_1`, `distinct_2`: different n-grams / n-grams (Li et al. 2016, "A Diversity-Promoting
    Objective Function"); `repeated_4`: 1 - distinct_4 within each text (Welleck et al. 2020,
    "Neural Text Generation with Unlikelihood Training", seq-rep-4).
    """
    words = [text.split() for text in texts]
    read = train.split()
    result: dict[str, Any] = {"words": sum(map(len, words))}
    for n in (5, 10):
        known = set(_grams(read, n))
        written = [gram for each in words for gram in _grams(each, n)]
        result[f"copied_{n}"] = sum(gram in known for gram in written) / max(1, len(written))
    for n in (1, 2):
        written = [gram for each in words for gram in _grams(each, n)]
        result[f"distinct_{n}"] = len(set(written)) / max(1, len(written))
    different = sum(len(set(_grams(each, 4))) for each in words)
    result["repeated_4"] = 1 - different / max(1, sum(len(_grams(each, 4)) for each in words))
    longest = max((longest_copy(text, train) for text in texts), key=len)
    return result | {"longest": longest, "longest_characters": len(longest)}


def copied(text: str, train: str, n: int = 5) -> list[tuple[int, int]]:
    """Characters (start, end) of the parts of `text` that are n or more words copied in a row."""
    known = set(_grams(train.split(), n))
    words = [match.span() for match in re.finditer(r"\S+", text)]
    spans: list[tuple[int, int]] = []
    for at, gram in enumerate(_grams(text.split(), n)):
        if gram in known:
            start, end = words[at][0], words[at + n - 1][1]
            if spans and start <= spans[-1][1]:
                start, _ = spans.pop()
            spans.append((start, end))
    return spans


def longest_copy(text: str, train: str) -> str:
    """The longest passage of `text` that is in `train` (the first, if there are several)."""
    longest = ""
    for start in range(len(text)):
        while (end := start + len(longest) + 1) <= len(text) and text[start:end] in train:
            longest = text[start:end]
    return longest


def _grams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
