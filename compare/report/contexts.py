"""How a score depends on the evaluation: the stride of the windows and the context length."""

from __future__ import annotations

from compare.corpus.encoding import token_ids
from compare.report.results import ContextPoint
from compare.ruler.scoring import Score, context_length_of
from compare.runs.kept import KeptModel

SHORTEST_CONTEXT = 4  # tokens


def by_stride(model: KeptModel, text: str, usual: Score) -> dict[str, float]:
    """Return the bits per byte at strides C, C/2 and C/8, for the model's context length C.

    `usual` is the score at stride C/2, which is not computed again.
    """
    context_length = context_length_of(model.model)
    scores = {"C/2": usual}
    for name, stride in {"C": context_length, "C/8": max(1, context_length // 8)}.items():
        scores[name] = model.score(text, stride, label=f"stride {name}")
    return {name: scores[name].metrics.bits_per_byte for name in ("C", "C/2", "C/8")}


def by_length(model: KeptModel, text: str, usual: Score) -> list[ContextPoint]:
    """Return the scores for context lengths C, C/4, C/16 and so on.

    `usual` is the score at the model's context length C, which is not computed again.  The shortest
    context has at least SHORTEST_CONTEXT tokens.  The `characters` of a point are the average
    number of characters that its tokens cover, which makes models with different tokenizers
    comparable.
    """
    characters_per_token = len(text) / len(token_ids(model.tokenizer, text))
    length, points = context_length_of(model.model), []
    while True:
        bits = usual.metrics.bits_per_byte
        points.append(
            ContextPoint(
                tokens=length, characters=length * characters_per_token, bits_per_byte=bits
            )
        )
        length //= 4
        if length < SHORTEST_CONTEXT:
            return points
        usual = model.score(text, label=f"{length} tokens", context_length=length)
