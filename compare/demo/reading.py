"""How surprising each part of a text is to a model."""

from __future__ import annotations

from dataclasses import dataclass

from compare.demo import limits
from compare.demo.sides import Side
from compare.report.surprisal import by_token
from compare.ruler.scoring import score

MOST_SURPRISING = 5  # tokens that are named


@dataclass(frozen=True)
class Reading:
    """A text as a model reads it."""

    tokens: list[tuple[str, float]]
    """The text of each token, never empty, and its surprisal in bits; joined, the text."""
    bytes: int
    bits_per_byte: float

    @property
    def bits(self) -> float:
        """What the model needs for the whole text."""
        return self.bits_per_byte * self.bytes

    @property
    def most_surprising(self) -> list[tuple[str, float]]:
        """The tokens with the most bits, the most surprising first."""
        return sorted(self.tokens, key=lambda token: -token[1])[:MOST_SURPRISING]


def read(side: Side, text: str) -> Reading:
    """Score `text` with the model of `side`.

    Raises Misuse if the text is empty or too long, and UnusableTokenizer if the model's tokenizer
    does not reproduce it.
    """
    limits.check_text(text, "The text", limits.TEXT_CHARACTERS)
    scored = score(side.model, side.tokenizer, text)
    tokens = by_token(scored, 0, len(text))
    return Reading(tokens, len(text.encode()), scored.metrics.bits_per_byte)
