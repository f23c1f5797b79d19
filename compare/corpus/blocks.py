"""Fixed-length training blocks: every token of a text is a target exactly once per epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

IGNORED = -100  # ignore_index of the cross-entropy in torch and transformers


@dataclass(frozen=True)
class Blocks:
    """The blocks of a text, cut lazily when they are indexed; create them with `blocks`."""

    ids: np.ndarray
    start: int  # the token in front of the text, stored separately to avoid a copy of `ids`
    starts: np.ndarray  # position in the text of each block's first target
    length: int
    first: int  # number of targets of the first block that count
    repeated: int  # number of targets of the last block that do not count

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and targets of the blocks `rows`, int64 of shape (rows, length) each.

        Each target is the token after its input, or IGNORED.
        """
        positions = self.positions(rows)
        rows, columns = rows[:, None], np.arange(self.length)
        inputs, targets = (self.ids[at].astype(np.int64) for at in (positions - 1, positions))
        inputs[positions == 0] = self.start
        targets[(rows == 0) & (columns >= self.first)] = IGNORED
        targets[(rows == len(self) - 1) & (columns < self.repeated)] = IGNORED
        return inputs, targets

    def positions(self, rows: np.ndarray) -> np.ndarray:
        """Return the position in the text of each target, int64 of shape (rows, length)."""
        return self.starts[rows][:, None] + np.arange(self.length)


def require_one_block(tokens: int, length: int, shorter_context: str) -> None:
    """Raise ValueError if a training split of so many `tokens` does not fill a block of `length`.

    `shorter_context` completes the advice: how the user gets a shorter context.
    """
    if tokens < length:
        raise ValueError(
            f"the training split has {tokens:,} tokens, too few for one block of {length:,}: use a "
            f"longer text, a larger --train-share or {shorter_context}"
        )


def blocks(ids: np.ndarray, length: int, start: int, first: int | None = None) -> Blocks:
    """Divide the token `ids` of a text into blocks of `length` targets.

    The first block begins with the token `start`, so that the first token of the text is a target
    too.  Every other block begins with the last target of the block before it.  The last block is
    shifted back to full length, and the targets that it would repeat are IGNORED.  `first` limits
    how many targets of the first block count (default: all), which shifts the borders of all
    later blocks.

    Raises ValueError if there are fewer than `length` ids.
    """
    first = length if first is None else first
    if len(ids) < length:
        raise ValueError(f"{len(ids)} tokens do not fill one block of {length}")
    starts = np.concatenate(([0], np.arange(first, len(ids), length)))
    repeated = int(starts[-1]) + length - len(ids)
    starts[-1] -= repeated
    return Blocks(ids, start, starts, length, first, repeated)
