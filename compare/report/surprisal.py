"""The surprisal of each token of one held-out passage, in bits."""

from __future__ import annotations

import math

from compare.ruler.scoring import Score

SHORTEST_PASSAGE, LONGEST_PASSAGE = 300, 700  # characters


def passage(text: str) -> tuple[int, int]:
    """Choose a passage of `text`, and return its (start, end) character offsets.

    It is the first group of whole speeches after the middle of the text that has SHORTEST_PASSAGE
    to LONGEST_PASSAGE characters.  If there is none, it is LONGEST_PASSAGE characters from the
    middle on.
    """
    start = text.find("\n\n", len(text) // 2) + 2
    while start > 1:
        end = text.rfind("\n\n", start, start + LONGEST_PASSAGE)
        if end - start >= SHORTEST_PASSAGE:
            return start, end
        start = text.find("\n\n", start) + 2
    return len(text) // 2, min(len(text) // 2 + LONGEST_PASSAGE, len(text))


def by_token(score: Score, start: int, end: int) -> list[tuple[str, float]]:
    """Return [(text of a token, its surprisal in bits)] for the characters start to end.

    A character that is split over several tokens has the bits of all of them.
    """
    first, last = (len(score.text[:at].encode()) for at in (start, end))
    inside = (score.byte_ends > first) & (score.byte_ends <= last)
    ends = score.byte_ends[inside] - first
    data = score.text[start:end].encode()
    spans = zip([0, *ends], ends, strict=False)
    return _join_split_characters(
        [
            (data[begin:end].decode(), float(nats) / math.log(2))
            for (begin, end), nats in zip(spans, score.nats[inside], strict=True)
        ]
    )


def _join_split_characters(tokens: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Add the bits of tokens that have no text to the token before them.

    A character that is split over several tokens belongs to the first of them.  If the first token
    of the text has none, the next one takes its bits.
    """
    joined: list[tuple[str, float]] = []
    waiting = 0.0
    for text, bits in tokens:
        if text:
            joined.append((text, bits + waiting))
            waiting = 0.0
        elif joined:
            joined[-1] = (joined[-1][0], joined[-1][1] + bits)
        else:
            waiting += bits
    return joined
