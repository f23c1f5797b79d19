"""Subsets of the training split: a share of it, or all of it except one play.

Runs on a share show how much more text would help.  Runs without a play show how well a recipe does
on an unseen play.  The validation and test splits do not change.
"""

from __future__ import annotations

from dataclasses import replace

from compare.corpus import Corpus
from compare.corpus.parts import PLAY_STARTS
from compare.errors import Misuse

PIECES = 64  # 15,685 characters each in Tiny Shakespeare, so every play contributes to a share
MAX_SHIFT = 2000  # characters by which a cut may move to reach the end of a speech


def training_subset(corpus: Corpus, share: float = 1.0, without: str = "") -> Corpus:
    """Return `corpus` with a share of its training split, or without one play.

    A share is taken evenly from the whole split: it is cut into PIECES pieces, and the beginning of
    each is kept, up to the end of a speech or paragraph.  A smaller share is contained in a larger
    one.  `without` is the title of a play in Tiny Shakespeare.

    Raises Misuse if the training split has no play with that title.
    """
    train = corpus.train
    if without:
        start, end = _extent(corpus, without)
        train = train[:start] + train[end:]
    if share < 1:
        length = len(train) / PIECES
        borders = [
            (_border(train, round(piece * length)), _border(train, round((piece + share) * length)))
            for piece in range(PIECES)
        ]
        train = "".join(train[start:end] for start, end in borders)
    return replace(corpus, train=train)


def left_out_play(corpus: Corpus, title: str) -> str:
    """Return the part of the play `title` that is in the training split.

    Raises Misuse if there is none.
    """
    start, end = _extent(corpus, title)
    return corpus.train[start:end]


def training_plays() -> list[str]:
    """Return the titles of the plays that are entirely in Tiny Shakespeare's training split."""
    return [title for title, _ in PLAY_STARTS[:-2]]


def _extent(corpus: Corpus, title: str) -> tuple[int, int]:
    """Return the character offsets [start, end) of a play in the training split.

    Raises Misuse if no play with that title begins in the training split.
    """
    starts = dict(PLAY_STARTS)
    if not corpus.is_tiny_shakespeare or starts.get(title, 2**63) >= len(corpus.train):
        titles = ", ".join(title for title, _ in PLAY_STARTS[:-1])
        raise Misuse(
            f"the training split of {corpus.name} has no play called {title!r}: "
            f"tiny-shakespeare has {titles}"
        )
    later_starts = [start for start in starts.values() if start > starts[title]]
    return starts[title], min([*later_starts, len(corpus.train)])


def _border(text: str, at: int) -> int:
    """Return the first end of a speech or paragraph at or after offset `at`.

    Returns `at` if there is none within MAX_SHIFT characters.
    """
    if at <= 0:
        return 0
    gap = text.find("\n\n", at - 2, at + MAX_SHIFT)
    return gap + 2 if gap >= 0 else min(at, len(text))
