"""Memorization: how much of what a model generates occurs verbatim in the training split.

The same figures for real text from the test split show how much overlap is to be expected anyway.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from compare.report.results import Memorization

PIECE = 16  # characters
MAX_INDEXED = 2_000_000  # characters; the pieces of a longer text would take too much memory


def measure_memorization(name: str, texts: Sequence[str], train: str) -> Memorization:
    """Measure verbatim copying from `train` and the diversity of `texts`, which `name` has written.

    N-grams do not extend over two texts.
    """
    words_of_texts = [text.split() for text in texts]

    def share_copied(n: int) -> float:
        train_ngrams = _ngrams_of_train(train, n)
        ngrams = [ngram for words in words_of_texts for ngram in _ngrams(words, n)]
        return sum(ngram in train_ngrams for ngram in ngrams) / max(1, len(ngrams))

    def share_distinct(n: int) -> float:
        ngrams = [ngram for words in words_of_texts for ngram in _ngrams(words, n)]
        return len(set(ngrams)) / max(1, len(ngrams))

    distinct = sum(len(set(_ngrams(words, 4))) for words in words_of_texts)
    total = sum(len(_ngrams(words, 4)) for words in words_of_texts)
    longest = max((longest_copy(text, train) for text in texts), key=len)
    return Memorization(
        name=name,
        words=sum(map(len, words_of_texts)),
        copied_5=share_copied(5),
        copied_10=share_copied(10),
        distinct_1=share_distinct(1),
        distinct_2=share_distinct(2),
        repeated_4=1 - distinct / max(1, total),
        longest=longest,
        longest_characters=len(longest),
    )


def copied_passages(text: str, train: str, n: int = 5) -> list[tuple[int, int]]:
    """Return the passages of `text` that copy n or more consecutive words from `train`.

    They are (start, end) character offsets, sorted and disjoint.
    """
    train_ngrams = _ngrams_of_train(train, n)
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
    pieces = _pieces_of_train(train) if len(train) <= MAX_INDEXED else None

    def occurs(passage: str) -> bool:
        # Looking up the beginning in a set saves most searches through the whole text.
        if pieces is not None and len(passage) >= PIECE and passage[:PIECE] not in pieces:
            return False
        return passage in train

    longest = ""
    for start in range(len(text)):
        while (end := start + len(longest) + 1) <= len(text) and occurs(text[start:end]):
            longest = text[start:end]
    return longest


@lru_cache(maxsize=2)
def _ngrams_of_train(train: str, n: int) -> frozenset[tuple[str, ...]]:
    return frozenset(_ngrams(train.split(), n))


@lru_cache(maxsize=1)
def _pieces_of_train(train: str) -> frozenset[str]:
    """Return all passages of PIECE characters."""
    return frozenset(train[start : start + PIECE] for start in range(len(train) - PIECE + 1))


def _ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
