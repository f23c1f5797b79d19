"""Large models are measured on less text, so that a report takes minutes instead of hours.

The scores that the report compares are always of the whole test split.
"""

from __future__ import annotations

PARAMETERS = 20_000_000
CLOSER_LOOK_CHARACTERS = 6_000


def is_large(parameters: int) -> bool:
    """Return whether a model with so many parameters is measured on less text."""
    return parameters > PARAMETERS
