"""How sure a difference is: a paired bootstrap over the blocks of a text.

Tokens of one speech are not independent, and all models find the same speeches hard.  So whole
speeches are drawn with replacement, the same ones for every model (Koehn 2004, "Statistical
Significance Tests for Machine Translation Evaluation", with blocks in place of sentences).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from compare.scoring import Score

RESAMPLES = 2000


def block_ends(text: str) -> np.ndarray:
    """Byte offsets (int64) at which a speech or paragraph of `text` ends, blank lines included."""
    paragraphs = text.encode().split(b"\n\n")
    sizes = np.array([len(paragraph) + 2 for paragraph in paragraphs])
    sizes[-1] -= 2
    return np.cumsum(sizes[sizes > 0])


def bootstrap(scores: Sequence[Score], seed: int = 0) -> np.ndarray:
    """Bits per byte of each model in each resample: (RESAMPLES, models).

    All scores must be of the same text.  A column's percentiles give a model's interval; those of
    the difference of two columns give a paired interval.
    """
    ends = block_ends(scores[0].text)
    sizes = np.diff(ends, prepend=0)
    nats = np.zeros((len(ends), len(scores)))
    for model, score in enumerate(scores):
        # A token belongs to the block of its last byte.
        np.add.at(nats[:, model], np.searchsorted(ends, score.byte_ends), score.nats)
    generator = np.random.default_rng(seed)
    times_drawn = generator.multinomial(len(ends), np.full(len(ends), 1 / len(ends)), RESAMPLES)
    return (times_drawn @ nats) / (times_drawn @ sizes)[:, None] / math.log(2)


def interval(draws: np.ndarray) -> list[float]:
    """The 95 % percentile interval of bootstrap draws: [low, high]."""
    return [float(x) for x in np.percentile(draws, [2.5, 97.5])]
