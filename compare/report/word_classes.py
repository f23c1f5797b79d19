"""Where models differ: nats by kind of text.

A text is cut into words, each with the white space before it.  Tokens of GPT-2's kind never reach
over such a cut, so -log P(word | all before it) means the same for every tokenizer.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any

import numpy as np

from compare.ruler.scoring import Score

COMMON = 100  # times in the training split
KINDS = ("speaker names", "line starts", "common words", "rare words", "unseen words")
# The first line of a speech, if it ends in a colon.
SPEAKER = re.compile(r"(?:\A|(?<=\n\n))[^\n]+:$", re.MULTILINE)
WORD = re.compile(r"(\s*)(\S+)(?:\s+\Z)?")


def words(text: str, train: str) -> tuple[np.ndarray, np.ndarray]:
    """For each word of `text`: where its bytes end, and its kind as an index into KINDS (int64).

    Speaker names take their whole line; a line start is the first word of any other line; the
    rest is common, rare or unseen in `train`, without regard to case and punctuation.
    """
    seen = Counter(map(_bare, train.split()))
    speaker = np.zeros(len(text), dtype=bool)
    for match in SPEAKER.finditer(text):
        speaker[match.start() : match.end()] = True
    sizes, kinds = [], []
    for match in WORD.finditer(text):
        times = seen[_bare(match[2])]
        if speaker[match.start(2)]:
            kind = "speaker names"
        elif match.start(2) == 0 or "\n" in match[1]:
            kind = "line starts"
        else:
            kind = "common words" if times >= COMMON else "rare words" if times else "unseen words"
        sizes.append(len(match[0].encode()))
        kinds.append(KINDS.index(kind))
    return np.cumsum(sizes), np.array(kinds)


def by_kind(rows: dict[str, Score], text: str, train: str) -> list[dict[str, Any]]:
    """[{kind, words, bytes, bits_per_word, bits_per_byte}], the last two by row name."""
    ends, kinds = words(text, train)
    sizes = np.diff(ends, prepend=0)
    nats = {
        name: np.bincount(np.searchsorted(ends, score.byte_ends), score.nats, len(ends))
        for name, score in rows.items()
    }
    result = []
    for at, kind in enumerate(KINDS):
        chosen = kinds == at
        if not chosen.any():
            continue
        count, size = int(chosen.sum()), int(sizes[chosen].sum())
        bits = {name: float(each[chosen].sum()) / math.log(2) for name, each in nats.items()}
        result.append(
            {
                "kind": kind,
                "words": count,
                "bytes": size,
                "bits_per_word": {name: each / count for name, each in bits.items()},
                "bits_per_byte": {name: each / size for name, each in bits.items()},
            }
        )
    return result


def _bare(word: str) -> str:
    return word.strip(".,;:!?'\"-()[]").lower()
