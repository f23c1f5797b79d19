"""Exercises in copying: without them so small a model learns the names in a text by heart.

Told the first token of a speaker's name, a model that copies ("induction", Olsson et al. 2022)
finds the rest where the name stood before.  A text of few plays does not teach it that, since each
name comes back a hundred times, and a play with other names is then read without it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from compare.corpus.blocks import IGNORED
from scratch_lm.config import ScratchOptions

FIRST_STEPS = 200  # of drills alone, before the text: enough to learn copying
EVERY = 3  # steps; one drill among the text's rows at each such step, so that it is not unlearnt
SHORTEST = 8  # tokens in a drill before they repeat, where a context has room for two rounds


def drill(
    rows: int, length: int, vocabulary: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, targets and places, (rows, length) int64 each: random tokens, over and over.

    The targets of their first round, which nobody could know, are IGNORED.  All places are -1:
    these tokens are not the text's.
    """
    tokens = np.empty((rows, length + 1), np.int64)
    shortest = min(SHORTEST, length // 2)
    periods = rng.integers(shortest, max(shortest + 1, length * 3 // 4), rows)
    for row, period in zip(tokens, periods, strict=True):
        row[:] = np.resize(rng.integers(0, vocabulary, period), length + 1)
    targets = tokens[:, 1:].copy()
    targets[np.arange(length) < periods[:, None] - 1] = IGNORED
    return tokens[:, :-1], targets, np.full_like(targets, -1)


def first_drills(options: ScratchOptions) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches of drills, one for each of the FIRST_STEPS."""
    rng = np.random.default_rng([options.seed, 0])
    for _ in range(FIRST_STEPS):
        parts = drill(options.batch_size, options.context_length, options.vocabulary, rng)
        yield tuple(map(torch.from_numpy, parts))


class Speakers:
    """Where the token `ids` of a text name a speaker: in capitals, on a line that ends in a colon,
    after an empty one."""

    def __init__(self, ids: np.ndarray, tokenizer: PreTrainedTokenizerBase) -> None:
        spelled = [tokenizer.decode(token) for token in range(len(tokenizer))]
        capitals = np.array([each == " " or (each.strip(" ").isalpha() and each.isupper())
                             for each in spelled])  # fmt: skip
        line, colon = spelled.index("\n"), spelled.index(":")
        lines = np.flatnonzero((ids[:-1] == line) & (ids[1:] == line)) + 2
        self.ids, spans = ids, []
        for start in lines:
            end = start
            while end < len(ids) and capitals[ids[end]]:
                end += 1
            if start < end and ids[end : end + 2].tolist() == [colon, line]:
                spans.append((start, end))
        self.starts, self.ends = np.array(spans, np.int64).reshape(-1, 2).T
        self.names: dict[int, list[tuple[int, ...]]] = {}  # by their number of tokens
        for name in dict.fromkeys(tuple(ids[start:end].tolist()) for start, end in spans):
            self.names.setdefault(len(name), []).append(name)

    def renamed(self, first: int, last: int, rng: np.random.Generator) -> np.ndarray:
        """The tokens from place `first` to before `last`, each speaker with an invented name.

        It has as many tokens as the speaker's own, each of them from some name's same place.
        """
        tokens, invented = self.ids[first:last].copy(), {}
        here = slice(np.searchsorted(self.ends, first, "right"), np.searchsorted(self.starts, last))
        for start, end in zip(self.starts[here], self.ends[here], strict=True):
            name = tuple(self.ids[start:end].tolist())
            if name not in invented:
                alike = np.array(self.names[len(name)])
                picked = rng.integers(len(alike), size=len(name))
                invented[name] = alike[picked, np.arange(len(name))]
            begin, stop = max(start, first), min(end, last)
            tokens[begin - first : stop - first] = invented[name][begin - start : stop - start]
        return tokens
