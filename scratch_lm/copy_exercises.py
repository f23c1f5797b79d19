"""Copying exercises: without them, a model this small memorizes the names in the training text.

Given the first token of a speaker's name, a model that can copy ("induction", Olsson et al. 2022)
completes it from an earlier occurrence in its context.  A text of a few plays does not teach this:
each name occurs a hundred times, so memorizing it is enough.  Such a model cannot complete the
names in a play that it has not seen.
"""

from __future__ import annotations

import numpy as np
from transformers import PreTrainedTokenizerBase

from compare.corpus.blocks import IGNORED

FIRST_DRILL_STEPS = 200  # steps on drills alone before the text: enough to learn copying
DRILL_INTERVAL = 3  # afterwards, one row in every third step is a drill, to retain copying
SHORTEST_PERIOD = 8  # tokens before a drill repeats, if the context has room for two periods


def make_drills(
    rows: int, length: int, vocabulary: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs, targets and positions of drills: rows of random tokens that repeat.

    Each array is (rows, length) int64.  The targets of the first period are IGNORED, because they
    cannot be predicted.  All positions are -1, because the tokens do not come from the text.
    """
    tokens = np.empty((rows, length + 1), np.int64)
    shortest = min(SHORTEST_PERIOD, length // 2)
    periods = rng.integers(shortest, max(shortest + 1, length * 3 // 4), rows)
    for row, period in zip(tokens, periods, strict=True):
        row[:] = np.resize(rng.integers(0, vocabulary, period), length + 1)
    targets = tokens[:, 1:].copy()
    targets[np.arange(length) < periods[:, None] - 1] = IGNORED
    return tokens[:, :-1], targets, np.full_like(targets, -1)


class Speakers:
    """The speaker names in a tokenized text, and a way to replace them with invented names.

    A speaker's name is written in capitals, follows an empty line, and ends its line with a colon.

    Attributes:
        ids: the text's token ids.
        starts: index in `ids` of each name's first token, int64, in ascending order.
        ends: index in `ids` of the token after each name, int64.
        names: the distinct names as tuples of token ids, grouped by their number of tokens.
    """

    def __init__(self, ids: np.ndarray, tokenizer: PreTrainedTokenizerBase) -> None:
        spellings = [str(tokenizer.decode(token)) for token in range(len(tokenizer))]
        is_capital = np.array(
            [
                spelling == " " or (spelling.strip(" ").isalpha() and spelling.isupper())
                for spelling in spellings
            ]
        )
        newline, colon = spellings.index("\n"), spellings.index(":")
        after_empty_line = np.flatnonzero((ids[:-1] == newline) & (ids[1:] == newline)) + 2
        spans = []
        for start in after_empty_line:
            end = start
            while end < len(ids) and is_capital[ids[end]]:
                end += 1
            if start < end and ids[end : end + 2].tolist() == [colon, newline]:
                spans.append((start, end))
        self.ids = ids
        self.starts, self.ends = np.array(spans, np.int64).reshape(-1, 2).T
        self.names: dict[int, list[tuple[int, ...]]] = {}
        for name in dict.fromkeys(tuple(ids[start:end].tolist()) for start, end in spans):
            self.names.setdefault(len(name), []).append(name)

    def with_invented_names(self, first: int, last: int, rng: np.random.Generator) -> np.ndarray:
        """Return a copy of `ids[first:last]` in which each speaker has an invented name.

        A speaker keeps the same invented name throughout.  It has as many tokens as the original
        name, and each token occurs at the same index in a real name of that length.
        """
        tokens, invented = self.ids[first:last].copy(), {}
        here = slice(np.searchsorted(self.ends, first, "right"), np.searchsorted(self.starts, last))
        for start, end in zip(self.starts[here], self.ends[here], strict=True):
            name = tuple(self.ids[start:end].tolist())
            if name not in invented:
                same_length = np.array(self.names[len(name)])
                picked = rng.integers(len(same_length), size=len(name))
                invented[name] = same_length[picked, np.arange(len(name))]
            begin, stop = max(start, first), min(end, last)
            tokens[begin - first : stop - first] = invented[name][begin - start : stop - start]
        return tokens
