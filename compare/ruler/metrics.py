"""From the nats that a text cost to the figures of the study: defined here and nowhere else."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

Interval = tuple[float, float]
"""The lower and upper end of a 95% confidence interval, in bits per byte."""


@dataclass(frozen=True)
class Metrics:
    """What a model needs for a text: totals, the mean loss, and four ratios.

    `bits_per_byte` = nats / ln 2 / bytes and `word_perplexity` = exp(nats / words split at white
    space), as in EleutherAI's lm-evaluation-harness; `token_perplexity` = exp(nats / tokens) can be
    compared only among models with the same tokenizer.
    """

    nats: float
    bytes: int
    chars: int
    tokens: int
    words: int
    loss: float
    """Nats per token."""
    bits_per_byte: float
    nats_per_char: float
    token_perplexity: float
    word_perplexity: float


def metrics_of(nats: float, tokens: int, text: str) -> Metrics:
    """The metrics of a `text` of so many `tokens` that cost so many `nats`."""
    size, words = len(text.encode()), sum(1 for _ in re.finditer(r"\S+", text))
    return Metrics(
        nats=nats,
        bytes=size,
        chars=len(text),
        tokens=tokens,
        words=words,
        loss=nats / tokens,
        bits_per_byte=nats / math.log(2) / size,
        nats_per_char=nats / len(text),
        token_perplexity=_exp(nats / tokens),
        word_perplexity=_exp(nats / max(words, 1)),
    )


def _exp(x: float) -> float:
    """exp(x), or infinity where a float cannot hold it."""
    return math.exp(x) if x < 700 else math.inf
