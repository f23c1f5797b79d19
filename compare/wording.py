"""Parts of sentences that pages, figures and messages share."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

THEN = ", then "  # in the record of a resumed run, between an earlier value and the present one


def listed(names: Sequence[str]) -> str:
    """Return names as a list in a sentence: A, B and C."""
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]


def counted(count: int, noun: str) -> str:
    """Return a count and its noun, such as "1 epoch" or "3 epochs"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def models_learned_from(teachers: int) -> str:
    """Return "the model" or "the 3 models", for those that a distilled model learned from."""
    return "the model" if teachers == 1 else f"the {teachers} models"


def format_share(share: float) -> str:
    """Return a share of a text as a simple fraction, such as 1/8, or else in percent."""
    fraction = Fraction(share)
    return str(fraction) if fraction.denominator <= 16 else f"{100 * share:g}%"


def share_of_text(share: float) -> str:
    """Return how much of a text a share is, such as "1/8 of the text"."""
    if share in (0, 1):
        return "all of the text" if share else "none of the text"
    return f"{format_share(share)} of the text"
