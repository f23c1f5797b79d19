"""How sure a difference is: a paired bootstrap over the blocks of a text, and over training seeds.

Tokens of one speech are not independent, and all models find the same speeches hard.  So whole
speeches are drawn with replacement, the same ones for every model (Koehn 2004, "Statistical
Significance Tests for Machine Translation Evaluation", with blocks in place of sentences).  Where
a row has several runs, these are drawn with replacement too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from compare.scoring import Score

RESAMPLES = 2000


def block_ends(text: str) -> np.ndarray:
    """Byte offsets (int64) at which a speech or paragraph of `text` ends, blank lines included."""
    paragraphs = text.encode().split(b"\n\n")
    sizes = np.array([len(paragraph) + 2 for paragraph in paragraphs])
    sizes[-1] -= 2
    return np.cumsum(sizes[sizes > 0])


def bootstrap(rows: Mapping[str, Sequence[Score]], seed: int = 0) -> dict[str, np.ndarray]:
    """Bits per byte of each row in each resample, (RESAMPLES,) each.

    All scores must be of the same text; a row has one for each of its runs.  The percentiles of a
    row give its interval; those of the difference of two rows give a paired interval.
    """
    ends = block_ends(next(iter(rows.values()))[0].text)
    sizes = np.diff(ends, prepend=0)
    generator = np.random.default_rng(seed)
    times_drawn = generator.multinomial(len(ends), np.full(len(ends), 1 / len(ends)), RESAMPLES)
    bits_drawn = (times_drawn @ sizes) * math.log(2)
    draws = {}
    for name, runs in rows.items():
        n = len(runs)
        shares = generator.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
        # Drawing n of n runs shows (n - 1) / n of the variance of their mean: widen it.
        shares = 1 / n + (shares - 1 / n) * math.sqrt(n / max(n - 1, 1))
        by_run = np.stack([times_drawn @ _block_nats(run, ends) for run in runs], axis=1)
        draws[name] = (by_run * shares).sum(axis=1) / bits_drawn
    return draws


def interval(draws: np.ndarray) -> list[float]:
    """The 95 % percentile interval of bootstrap draws: [low, high]."""
    return [float(x) for x in np.percentile(draws, [2.5, 97.5])]


def mean(runs: Sequence[Score]) -> Score:
    """The mean over runs, token by token; they must share a tokenizer and a text."""
    return Score(np.mean([run.nats for run in runs], axis=0), runs[0].byte_ends, runs[0].text)


def _block_nats(score: Score, ends: np.ndarray) -> np.ndarray:
    """Nats of each block (float64); a token belongs to the block of its last byte."""
    return np.bincount(np.searchsorted(ends, score.byte_ends), score.nats, len(ends))
