"""From the nats that a text cost to the figures of the study: defined here and nowhere else."""

from __future__ import annotations

import math
import re


def ratios(nats: float, tokens: int, text: str) -> dict[str, float | int]:
    """Totals, the mean loss, and the four ratios.

    `bits_per_byte` = nats / ln 2 / bytes and `word_perplexity` = exp(nats / words split at white
    space), as in EleutherAI's lm-evaluation-harness; `token_perplexity` = exp(nats / tokens) is of
    use only among models with the same tokenizer.
    """
    size, words = len(text.encode()), sum(1 for _ in re.finditer(r"\S+", text))
    return {
        "nats": nats,
        "bytes": size,
        "chars": len(text),
        "tokens": tokens,
        "words": words,
        "loss": nats / tokens,
        "bits_per_byte": nats / math.log(2) / size,
        "nats_per_char": nats / len(text),
        "token_perplexity": _exp(nats / tokens),
        "word_perplexity": _exp(nats / max(words, 1)),
    }


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf
