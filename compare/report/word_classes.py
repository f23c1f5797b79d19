"""Where models differ: nats per kind of word.

A text is cut into words, each with the whitespace before it.  Byte-level tokens like GPT-2's never
cross such a boundary, so -log P(word | everything before it) means the same for every tokenizer.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any

import numpy as np

from compare.ruler.scoring import Score

COMMON = 100  # minimum number of occurrences of a common word in the training split
KINDS = ("speaker names", "line starts", "common words", "rare words", "unseen words")
# The first line of a speech, if it ends with a colon.
SPEAKER = re.compile(r"(?:\A|(?<=\n\n))[^\n]+:$", re.MULTILINE)
WORD = re.compile(r"(\s*)(\S+)(?:\s+\Z)?")


def words(text: str, train: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the byte offset where each word of `text` ends, and its kind as an index into KINDS.

    Both arrays are int64 of shape (words,).  All words of a speaker's line are speaker names.  The
    first word of any other line is a line start.  All other words are common, rare or unseen in
    `train`, ignoring case and punctuation.
    """
    occurrences = Counter(map(_bare, train.split()))
    in_speaker_line = np.zeros(len(text), dtype=bool)
    for match in SPEAKER.finditer(text):
        in_speaker_line[match.start() : match.end()] = True
    sizes, kinds = [], []
    for match in WORD.finditer(text):
        times = occurrences[_bare(match[2])]
        if in_speaker_line[match.start(2)]:
            kind = "speaker names"
        elif match.start(2) == 0 or "\n" in match[1]:
            kind = "line starts"
        else:
            kind = "common words" if times >= COMMON else "rare words" if times else "unseen words"
        sizes.append(len(match[0].encode()))
        kinds.append(KINDS.index(kind))
    return np.cumsum(sizes), np.array(kinds)


def by_kind(rows: dict[str, Score], text: str, train: str) -> list[dict[str, Any]]:
    """Return [{kind, words, bytes, bits_per_word, bits_per_byte}] for the kinds that `text` has.

    `rows` holds a score of `text` for each row name.  `words` and `bytes` are counts; the last two
    entries are dicts by row name.
    """
    ends, kinds = words(text, train)
    sizes = np.diff(ends, prepend=0)
    nats = {
        name: np.bincount(np.searchsorted(ends, score.byte_ends), score.nats, len(ends))
        for name, score in rows.items()
    }
    result = []
    for index, kind in enumerate(KINDS):
        chosen = kinds == index
        if not chosen.any():
            continue
        count, size = int(chosen.sum()), int(sizes[chosen].sum())
        bits = {
            name: float(word_nats[chosen].sum()) / math.log(2) for name, word_nats in nats.items()
        }
        result.append(
            {
                "kind": kind,
                "words": count,
                "bytes": size,
                "bits_per_word": {name: total / count for name, total in bits.items()},
                "bits_per_byte": {name: total / size for name, total in bits.items()},
            }
        )
    return result


def _bare(word: str) -> str:
    """Return `word` in lower case, without surrounding punctuation."""
    return word.strip(".,;:!?'\"-()[]").lower()
