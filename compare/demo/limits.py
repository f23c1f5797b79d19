"""How much may be asked of the demo at once, and the checks of what was asked."""

from __future__ import annotations

from dataclasses import dataclass

from compare.cli import LARGEST_SEED
from compare.errors import Misuse


@dataclass(frozen=True)
class Limit:
    """The lowest and the highest value of a number, both of them allowed."""

    name: str
    low: float
    high: float

    def check(self, value: float | None) -> float:
        """Return `value`.  Raises Misuse if it is missing, NaN or out of range."""
        if value is None or not self.low <= value <= self.high:
            shown = "missing" if value is None else f"{value:g}"
            raise Misuse(
                f"{self.name} is {shown}: it must be between {self.low:g} and {self.high:g}"
            )
        return value


TEMPERATURE = Limit("Temperature", 0.1, 2)
TOP_K = Limit("Top-k", 1, 500)
CHARACTERS = Limit("Length", 20, 2000)
SAMPLES = Limit("Number of texts", 1, 5)
SEED = Limit("Seed", 0, LARGEST_SEED)
PROMPT_CHARACTERS = 2000
TEXT_CHARACTERS = 4000


def check_text(text: str, name: str, most: int) -> str:
    """Return `text`.  Raises Misuse if it is empty or has more than `most` characters."""
    if not text.strip():
        raise Misuse(f"{name} is empty: type something")
    if len(text) > most:
        raise Misuse(f"{name} has {len(text):,} characters: shorten it to at most {most:,}")
    return text
