"""Published results of GPT-2 on Tiny Shakespeare, used to detect a broken run."""

from __future__ import annotations

import math

from compare.kinds import GPT2_NAMES, RowKind
from compare.report.results import ResultRow

# Lowest and highest published bits per byte on nanoGPT's `val`: 4.03 nats per token before
# fine-tuning (two logs), and 3.19 to 3.34 after it (several authors, on this or a similar split).
PUBLISHED_RANGES = {RowKind.ZERO_SHOT: (1.88, 1.88), RowKind.FINE_TUNED: (1.49, 1.56)}
# Relative.  The published values are for windows without overlap, which give slightly higher
# losses than the overlapping windows of this study.
TOLERANCE = 0.05


def notes(rows: list[ResultRow], is_tiny_shakespeare: bool) -> list[str]:
    """Return a note for each GPT-2 row that is far from the published results."""
    if not is_tiny_shakespeare:
        return []
    messages = []
    for row in rows:
        nats = row.nanogpt_val_nats_per_char
        if row.base not in GPT2_NAMES or row.kind not in PUBLISHED_RANGES or nats is None:
            continue
        low, high = PUBLISHED_RANGES[row.kind]
        # Tiny Shakespeare has one byte per character.
        bits = nats / math.log(2)
        if not low * (1 - TOLERANCE) <= bits <= high * (1 + TOLERANCE):
            published = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"
            messages.append(
                f"{row.name} needs {bits:.3f} bits per byte on the last 10%, but the published "
                f"results are {published}: check this run for errors before you trust it."
            )
    return messages
