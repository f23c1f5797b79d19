"""Confidence intervals: a paired bootstrap over blocks of text and over training seeds.

Tokens within a speech are not independent, and all models find the same speeches hard.  Whole
speeches are therefore resampled with replacement, the same ones for every model (Koehn 2004,
"Statistical Significance Tests for Machine Translation Evaluation", with blocks in place of
sentences).  If a row has several runs, these are resampled too.

A text with too few blank lines is cut into lines instead, and one with too few lines into pieces of
fixed size.  If there are too few of these as well, there is no interval: resampling a single block
always gives the same text, and hence an interval of zero width that suggests certainty.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compare.ruler.scoring import Score

RESAMPLES = 2000
RESAMPLES_PER_BATCH = 100  # all 2,000 at once would take gigabytes for the blocks of a large text
# Bootstrap percentile intervals are too narrow for small samples.  30 is the customary minimum
# number of observations for intervals that rely on the central limit theorem.
MIN_BLOCKS = 30
PIECE_BYTES = 200  # slightly more than the average speech of Tiny Shakespeare
BLANK_LINES = re.compile(rb"\n(?:[ \t]*\n)+")
LINE_END = re.compile(rb"\n(?:[ \t]*\n)*")  # blank lines belong to the line before them


@dataclass(frozen=True)
class TextBlocks:
    """How a text is cut into blocks: their kind, and the byte offset (int64) where each ends."""

    kind: str
    ends: np.ndarray

    @property
    def enough(self) -> bool:
        """Whether there are enough blocks for an interval."""
        return len(self.ends) >= MIN_BLOCKS

    def __str__(self) -> str:
        number = len(self.ends)
        return f"{number} block{'s' * (number != 1)}"


def split_into_blocks(text: str) -> TextBlocks:
    """Cut `text` into speeches, lines, or pieces of about PIECE_BYTES bytes.

    The first of these that gives at least MIN_BLOCKS blocks is used, pieces if none does.  Blocks
    are contiguous and cover the whole text.
    """
    data = text.encode()
    for kind, border in (("speeches or paragraphs", BLANK_LINES), ("lines", LINE_END)):
        ends = [match.end() for match in border.finditer(data) if match.end() < len(data)]
        blocks = TextBlocks(kind, np.array([*ends, len(data)], np.int64))
        if blocks.enough:
            return blocks
    return TextBlocks(f"pieces of about {PIECE_BYTES} bytes", np.array(_piece_ends(data), np.int64))


def _piece_ends(data: bytes) -> list[int]:
    """Return the ends of pieces of PIECE_BYTES bytes, moved to the nearest whitespace.

    Whitespace is searched for within half a piece on either side; without any, the end moves back
    to a character boundary.  The last piece holds the rest, up to 1.5 times PIECE_BYTES.
    """
    ends, half = [0], PIECE_BYTES // 2
    while len(data) - ends[-1] > PIECE_BYTES + half:
        usual = ends[-1] + PIECE_BYTES
        spaces = [m.end() for m in re.finditer(rb"\s", data[usual - half : usual + half])]
        if spaces:
            end = min((usual - half + space for space in spaces), key=lambda at: abs(at - usual))
        else:
            end = usual
            while data[end] & 0xC0 == 0x80:  # inside a multi-byte character
                end -= 1
        ends.append(end)
    return [*ends[1:], len(data)]


def resample(rows: Mapping[str, Sequence[Score]], seed: int = 0) -> dict[str, np.ndarray]:
    """Return the bits per byte of each row in each resample, an array of shape (RESAMPLES,).

    `rows` holds one score per run for each row name; all scores must be of the same text.  The
    percentiles of a row's array give its interval, and those of the difference of two rows' arrays
    a paired interval.  The result is empty if the text has fewer than MIN_BLOCKS blocks.
    """
    blocks = split_into_blocks(next(iter(rows.values()))[0].text)
    if not blocks.enough:
        return {}
    ends, number = blocks.ends, len(blocks.ends)
    generator = np.random.default_rng(seed)
    # Per block: its size in bytes, then its nats in each run of each row.
    columns = [np.diff(ends, prepend=0).astype(float)]
    columns += [_block_nats(run, ends) for runs in rows.values() for run in runs]
    block_values, uniform = np.stack(columns, axis=1), np.full(number, 1 / number)
    sums = np.concatenate(
        [
            generator.multinomial(number, uniform, RESAMPLES_PER_BATCH) @ block_values
            for _ in range(RESAMPLES // RESAMPLES_PER_BATCH)
        ]
    )
    nats_per_bit_per_byte, column = sums[:, 0] * math.log(2), 1
    draws = {}
    for name, runs in rows.items():
        n = len(runs)
        shares = generator.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
        # Resampling n runs captures only (n - 1) / n of the variance of their mean; correct for it.
        shares = 1 / n + (shares - 1 / n) * math.sqrt(n / max(n - 1, 1))
        by_run, column = sums[:, column : column + n], column + n
        draws[name] = (by_run * shares).sum(axis=1) / nats_per_bit_per_byte
    return draws


def interval(draws: np.ndarray | None) -> tuple[float, float] | None:
    """Return the 95% percentile interval (low, high) of bootstrap draws, or None without draws."""
    if draws is None:
        return None
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def notes(blocks: TextBlocks) -> list[str]:
    """Return a note on why a report has no intervals; empty if it has them."""
    if blocks.enough:
        return []
    return [
        f"The test split is too short for intervals: {blocks} ({blocks.kind}), but {MIN_BLOCKS} "
        "are needed. No difference is claimed."
    ]


def mean(runs: Sequence[Score]) -> Score:
    """Average the nats of each token over runs, which must share a tokenizer and a text."""
    return Score(np.mean([run.nats for run in runs], axis=0), runs[0].byte_ends, runs[0].text)


def _block_nats(score: Score, ends: np.ndarray) -> np.ndarray:
    """Return the nats of each block (float64); a token counts for the block of its last byte."""
    return np.bincount(np.searchsorted(ends, score.byte_ends), score.nats, len(ends))
