"""How sure a difference is: a paired bootstrap over the blocks of a text, and over training seeds.

Tokens of one speech are not independent, and all models find the same speeches hard.  So whole
speeches are drawn with replacement, the same ones for every model (Koehn 2004, "Statistical
Significance Tests for Machine Translation Evaluation", with blocks in place of sentences).  Where
a row has several runs, these are drawn with replacement too.

A text with too few blank lines is cut into lines instead, and one with too few lines into pieces
of fixed size.  Where these are too few as well there is no interval: drawing from one block gives
always the same text, and an interval of no width that seems to be sure of everything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compare.ruler.scoring import Score

RESAMPLES = 2000
DRAWN_AT_ONCE = 100  # resamples; all 2,000 of a large text's blocks would fill gigabytes
# Percentiles of a bootstrap cover less than they promise where there is little to draw from; 30 is
# the customary least number of observations for intervals that rest on the central limit theorem.
LEAST_BLOCKS = 30
PIECE = 200  # bytes: somewhat more than a speech of Tiny Shakespeare has on average
BLANK_LINES = re.compile(rb"\n(?:[ \t]*\n)+")
LINE_END = re.compile(rb"\n(?:[ \t]*\n)*")  # blank lines belong to the line before them


@dataclass(frozen=True)
class Cut:
    """A text cut into blocks: of which kind, and the byte offsets (int64) at which they end."""

    kind: str
    ends: np.ndarray

    @property
    def enough(self) -> bool:
        """Whether there are so many blocks that an interval can be had from them."""
        return len(self.ends) >= LEAST_BLOCKS

    def __str__(self) -> str:
        number = len(self.ends)
        return f"{number} block{'s' * (number != 1)}"

    def record(self) -> dict[str, Any]:
        """{kind, number, needed}, as reports carry it."""
        return {"kind": self.kind, "number": len(self.ends), "needed": LEAST_BLOCKS}


def cut(text: str) -> Cut:
    """`text` cut into speeches, or else lines, or else pieces of some PIECE bytes.

    The former are taken where there are LEAST_BLOCKS of them.  Blocks follow upon each other
    without gaps and end with the text.
    """
    data = text.encode()
    for kind, border in (("speeches or paragraphs", BLANK_LINES), ("lines", LINE_END)):
        ends = [match.end() for match in border.finditer(data) if match.end() < len(data)]
        found = Cut(kind, np.array([*ends, len(data)], np.int64))
        if found.enough:
            return found
    return Cut(f"pieces of about {PIECE} bytes", np.array(_piece_ends(data), np.int64))


def _piece_ends(data: bytes) -> list[int]:
    """Every PIECE bytes, but after the nearest white space within half of that, if there is any.

    No character is cut in two.  The last piece has what is left, up to one and a half times PIECE.
    """
    ends, half = [0], PIECE // 2
    while len(data) - ends[-1] > PIECE + half:
        usual = ends[-1] + PIECE
        spaces = [m.end() for m in re.finditer(rb"\s", data[usual - half : usual + half])]
        if spaces:
            end = min((usual - half + space for space in spaces), key=lambda at: abs(at - usual))
        else:
            end = usual
            while data[end] & 0xC0 == 0x80:  # the second, third or fourth byte of a character
                end -= 1
        ends.append(end)
    return [*ends[1:], len(data)]


def bootstrap(rows: Mapping[str, Sequence[Score]], seed: int = 0) -> dict[str, np.ndarray]:
    """Bits per byte of each row in each resample, (RESAMPLES,) each.

    All scores must be of the same text; a row has one for each of its runs.  The percentiles of a
    row give its interval; those of the difference of two rows give a paired interval.  Empty where
    the text has fewer than LEAST_BLOCKS blocks.
    """
    blocks = cut(next(iter(rows.values()))[0].text)
    if not blocks.enough:
        return {}
    ends, number = blocks.ends, len(blocks.ends)
    generator = np.random.default_rng(seed)
    columns = [np.diff(ends, prepend=0).astype(float)]
    columns += [_block_nats(run, ends) for runs in rows.values() for run in runs]
    of_blocks, even = np.stack(columns, axis=1), np.full(number, 1 / number)
    sums = np.concatenate(
        [
            generator.multinomial(number, even, DRAWN_AT_ONCE) @ of_blocks
            for _ in range(RESAMPLES // DRAWN_AT_ONCE)
        ]
    )
    bits_drawn, at = sums[:, 0] * math.log(2), 1
    draws = {}
    for name, runs in rows.items():
        n = len(runs)
        shares = generator.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
        # Drawing n of n runs shows (n - 1) / n of the variance of their mean: widen it.
        shares = 1 / n + (shares - 1 / n) * math.sqrt(n / max(n - 1, 1))
        by_run, at = sums[:, at : at + n], at + n
        draws[name] = (by_run * shares).sum(axis=1) / bits_drawn
    return draws


def interval(draws: np.ndarray | None) -> list[float] | None:
    """The 95 % percentile interval of bootstrap draws, [low, high]; None where there are none."""
    return None if draws is None else [float(x) for x in np.percentile(draws, [2.5, 97.5])]


def notes(blocks: Cut) -> list[str]:
    """Why a report has no intervals, where it has none."""
    if blocks.enough:
        return []
    return [
        f"The test split is too short for intervals: {blocks}, {blocks.kind}, where {LEAST_BLOCKS} "
        "are needed. No difference is claimed."
    ]


def mean(runs: Sequence[Score]) -> Score:
    """The mean over runs, token by token; they must share a tokenizer and a text."""
    return Score(np.mean([run.nats for run in runs], axis=0), runs[0].byte_ends, runs[0].text)


def _block_nats(score: Score, ends: np.ndarray) -> np.ndarray:
    """Nats of each block (float64); a token belongs to the block of its last byte."""
    return np.bincount(np.searchsorted(ends, score.byte_ends), score.nats, len(ends))
