"""The study's metrics, computed from the nats of a text; they are defined only here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

Interval = tuple[float, float]
"""The lower and upper ends of a 95% confidence interval, in bits per byte."""


@dataclass(frozen=True)
class Metrics:
    """Metrics of a model on a text: totals, the mean loss, and four ratios.

    `bits_per_byte` is nats / ln 2 / bytes, and `word_perplexity` is exp(nats / words) for words
    split at whitespace, as in EleutherAI's lm-evaluation-harness.  `token_perplexity` is exp(nats /
    tokens), which is comparable only among models with the same tokenizer.
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
    word_perplexity: float | None = None
    """None if it is too large for a float: without spaces between words, whole paragraphs count as
    words."""


def metrics_of(nats: float, tokens: int, text: str) -> Metrics:
    """Return the metrics of `text`, whose `tokens` tokens need `nats` nats in total.

    `text` must not be empty.
    """
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
        token_perplexity=_exp(nats / tokens) or math.inf,
        word_perplexity=_exp(nats / max(words, 1)),
    )


def _exp(x: float) -> float | None:
    """Return exp(x), or None if it is too large for a float."""
    return math.exp(x) if x < 700 else None
