"""How much a score owes to the ruler: the windows' stride, and how far back the model may look."""

from __future__ import annotations

from typing import Any

from compare.corpus.encoding import token_ids
from compare.ruler.scoring import Score, context_of, score

SHORTEST = 4  # tokens


def by_stride(model: Any, tokenizer: Any, text: str, usual: Score) -> dict[str, float]:
    """Bits per byte at strides of C, C / 2 (which is `usual`) and C / 8 of the context length C."""
    context_length = context_of(model)
    found = {"C/2": usual}
    for name, stride in {"C": context_length, "C/8": max(1, context_length // 8)}.items():
        found[name] = score(model, tokenizer, text, stride, label=f"stride {name}")
    return {name: found[name].metrics.bits_per_byte for name in ("C", "C/2", "C/8")}


def by_length(model: Any, tokenizer: Any, text: str, usual: Score) -> list[dict[str, float | int]]:
    """[{tokens, characters, bits_per_byte}] for context lengths C (`usual`), C / 4, ... SHORTEST.

    `characters` is what so many tokens cover on average: tokens of two models differ in length.
    """
    characters = len(text) / len(token_ids(tokenizer, text))
    length, result = context_of(model), []
    while True:
        bits = usual.metrics.bits_per_byte
        point = {"tokens": length, "characters": length * characters, "bits_per_byte": bits}
        result.append(point)
        length //= 4
        if length < SHORTEST:
            return result
        usual = score(model, tokenizer, text, label=f"{length} tokens", context_length=length)
