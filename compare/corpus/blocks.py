"""Fixed blocks of tokens to train on: every token of the text is a target exactly once an epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

IGNORED = -100  # the target value that torch's and transformers' cross-entropy leave out


@dataclass(frozen=True)
class Blocks:
    """Rows of a long text, cut out when they are asked for: see `blocks`."""

    ids: np.ndarray
    start: int  # the token before the text; put in front of `ids` it would copy them
    starts: np.ndarray
    length: int
    first: int  # targets of the first block that count
    repeated: int  # targets of the last block that do not

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets, (rows, length) int64 each; a target is the token after its input."""
        places = self.places(rows)
        rows, columns = rows[:, None], np.arange(self.length)
        inputs, targets = (self.ids[at].astype(np.int64) for at in (places - 1, places))
        inputs[places == 0] = self.start
        targets[(rows == 0) & (columns >= self.first)] = IGNORED
        targets[(rows == len(self) - 1) & (columns < self.repeated)] = IGNORED
        return inputs, targets

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Where in the text each target is, (rows, length) int64; its first token is at 0."""
        return self.starts[rows][:, None] + np.arange(self.length)


def blocks(ids: np.ndarray, length: int, start: int, first: int | None = None) -> Blocks:
    """The blocks of a text's token `ids`.

    The first block begins with the token `start`, so the text's first token is a target too, and
    every block begins with the last target of the one before.  The last block is moved back to
    full length; the targets it repeats are IGNORED.  Only the first `first` targets of the first
    block count (all by default), which moves the borders of all blocks.  Raises ValueError when
    `ids` are fewer than `length`.
    """
    first = length if first is None else first
    if len(ids) < length:
        raise ValueError(f"{len(ids)} tokens do not fill one block of {length}")
    starts = np.concatenate(([0], np.arange(first, len(ids), length)))
    repeated = int(starts[-1]) + length - len(ids)
    starts[-1] -= repeated
    return Blocks(ids, start, starts, length, first, repeated)
