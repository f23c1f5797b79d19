"""One held-out passage, and how surprised a model was by each part of it."""

from __future__ import annotations

import math

from compare.ruler.scoring import Score

LEAST, MOST = 300, 700  # characters


def passage(text: str) -> tuple[int, int]:
    """Characters (start, end) of whole speeches, LEAST to MOST characters, from the middle on.

    Where a text has no such, MOST characters from its middle.
    """
    start = text.find("\n\n", len(text) // 2) + 2
    while start > 1:
        end = text.rfind("\n\n", start, start + MOST)
        if end - start >= LEAST:
            return start, end
        start = text.find("\n\n", start) + 2
    return len(text) // 2, min(len(text) // 2 + MOST, len(text))


def by_token(score: Score, start: int, end: int) -> list[tuple[str, float]]:
    """[(characters of a token, bits that the model needed for it)] of a passage of the text."""
    first, last = (len(score.text[:at].encode()) for at in (start, end))
    inside = (score.byte_ends > first) & (score.byte_ends <= last)
    ends = score.byte_ends[inside] - first
    data = score.text[start:end].encode()
    pieces = zip([0, *ends], ends, strict=False)
    return [
        (data[a:b].decode(), float(nats) / math.log(2))
        for (a, b), nats in zip(pieces, score.nats[inside], strict=True)
    ]
