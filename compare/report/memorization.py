"""Memorization: how much of what a model generates occurs verbatim in the training split.

The same figures for real text from the test split show how much overlap is to be expected anyway.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any


def recital(texts: Sequence[str], train: str) -> dict[str, Any]:
    """Measure verbatim copying from `train` and diversity of `texts`.

    An n-gram is a sequence of n words within one text.  The result has these keys:

    - `words`: number of words in all texts
    - `copied_5`, `copied_10`: share of 5-grams and 10-grams that occur in `train`
    - `longest`, `longest_characters`: the longest passage that occurs in `train`, and its length
    - `distinct_1`, `distinct_2`: distinct n-grams / n-grams (Li et al. 2016, "A
      Diversity-Promoting Objective Function")
    - `repeated_4`: 1 - distinct_4 within each text (Welleck et al. 2020, "Neural Text Generation
      with Unlikelihood Training", seq-rep-4)
    """
    words_of_texts = [text.split() for text in texts]
    train_words = train.split()
    result: dict[str, Any] = {"words": sum(map(len, words_of_texts))}
    for n in (5, 10):
        train_ngrams = set(_ngrams(train_words, n))
        ngrams = [ngram for words in words_of_texts for ngram in _ngrams(words, n)]
        result[f"copied_{n}"] = sum(ngram in train_ngrams for ngram in ngrams) / max(1, len(ngrams))
    for n in (1, 2):
        ngrams = [ngram for words in words_of_texts for ngram in _ngrams(words, n)]
        result[f"distinct_{n}"] = len(set(ngrams)) / max(1, len(ngrams))
    distinct = sum(len(set(_ngrams(words, 4))) for words in words_of_texts)
    total = sum(len(_ngrams(words, 4)) for words in words_of_texts)
    result["repeated_4"] = 1 - distinct / max(1, total)
    longest = max((longest_copy(text, train) for text in texts), key=len)
    return result | {"longest": longest, "longest_characters": len(longest)}


def copied(text: str, train: str, n: int = 5) -> list[tuple[int, int]]:
    """Return the passages of `text` that copy n or more consecutive words from `train`.

    They are (start, end) character offsets, sorted and disjoint.
    """
    train_ngrams = set(_ngrams(train.split(), n))
    word_spans = [match.span() for match in re.finditer(r"\S+", text)]
    spans: list[tuple[int, int]] = []
    for index, ngram in enumerate(_ngrams(text.split(), n)):
        if ngram in train_ngrams:
            start, end = word_spans[index][0], word_spans[index + n - 1][1]
            if spans and start <= spans[-1][1]:
                start, _ = spans.pop()
            spans.append((start, end))
    return spans


def longest_copy(text: str, train: str) -> str:
    """Return the longest passage of `text` that occurs in `train`, the first in case of a tie."""
    longest = ""
    for start in range(len(text)):
        while (end := start + len(longest) + 1) <= len(text) and text[start:end] in train:
            longest = text[start:end]
    return longest


def _ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
