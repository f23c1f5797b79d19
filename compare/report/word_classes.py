"""Where models differ: nats per class of words.

A text is cut into words, each with the whitespace before it.  Byte-level tokens like GPT-2's never
cross such a boundary, so -log P(word | everything before it) means the same for every tokenizer.
"""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np

from compare.kinds import WordClass
from compare.report.results import WordClassResult
from compare.ruler.scoring import Score, nats_by_range

COMMON_WORD_COUNT = 100  # minimum number of occurrences of a common word in the training split
WORD_CLASSES = tuple(WordClass)
# The first line of a speech, if it ends with a colon.
SPEAKER = re.compile(r"(?:\A|(?<=\n\n))[^\n]+:$", re.MULTILINE)
WORD = re.compile(r"(\s*)(\S+)(?:\s+\Z)?")


def classify_words(text: str, train: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the byte offset where each word of `text` ends, and its index into WORD_CLASSES.

    Both arrays are int64 of shape (words,).  All words of a speaker's line are speaker names.  The
    first word of any other line is a line start.  All other words are common, rare or unseen in
    `train`, ignoring case and punctuation.
    """
    occurrences = Counter(map(_bare, train.split()))
    in_speaker_line = np.zeros(len(text), dtype=bool)
    for match in SPEAKER.finditer(text):
        in_speaker_line[match.start() : match.end()] = True
    sizes, classes = [], []
    for match in WORD.finditer(text):
        whitespace, word = match.groups()
        times = occurrences[_bare(word)]
        if in_speaker_line[match.start(2)]:
            word_class = WordClass.SPEAKER_NAME
        elif match.start(2) == 0 or "\n" in whitespace:
            word_class = WordClass.LINE_START
        elif times >= COMMON_WORD_COUNT:
            word_class = WordClass.COMMON
        else:
            word_class = WordClass.RARE if times else WordClass.UNSEEN
        sizes.append(len(match[0].encode()))
        classes.append(WORD_CLASSES.index(word_class))
    return np.cumsum(sizes), np.array(classes)


def by_word_class(rows: dict[str, Score], text: str, train: str) -> list[WordClassResult]:
    """Return what the words of each class cost, for the classes that `text` has.

    `rows` holds a score of `text` for each row name.
    """
    ends, classes = classify_words(text, train)
    sizes = np.diff(ends, prepend=0)
    nats = {name: nats_by_range(score, ends) for name, score in rows.items()}
    results = []
    for index, word_class in enumerate(WORD_CLASSES):
        members = classes == index
        if not members.any():
            continue
        count, size = int(members.sum()), int(sizes[members].sum())
        bits = {
            name: float(word_nats[members].sum()) / math.log(2) for name, word_nats in nats.items()
        }
        results.append(
            WordClassResult(
                word_class=word_class,
                words=count,
                bytes=size,
                bits_per_word={name: total / count for name, total in bits.items()},
                bits_per_byte={name: total / size for name, total in bits.items()},
            )
        )
    return results


def _bare(word: str) -> str:
    """Return `word` in lower case, without surrounding punctuation."""
    return word.strip(".,;:!?'\"-()[]").lower()
