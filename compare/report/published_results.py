"""What GPT-2 is known to reach on Tiny Shakespeare, so that a broken run is noticed."""

from __future__ import annotations

import math
from typing import Any

GPT2 = ("openai-community/gpt2", "gpt2")
# Bits per byte on nanoGPT's `val`, published elsewhere: two logs of 4.03 nats per token before, and
# 3.19 to 3.34 after fine-tuning by several authors, on this or a like split.
PUBLISHED = {"zero-shot": (1.88, 1.88), "fine-tuned": (1.49, 1.56)}
# They measured over windows without overlap, which costs a little more than the study's ruler.
MARGIN = 0.05


def notes(rows: list[dict[str, Any]], corpus: str) -> list[str]:
    """A sentence for each row of GPT-2 that is far from what others have measured."""
    found = []
    for row in rows:
        known = {f"{base} {kind}": kind for base in GPT2 for kind in PUBLISHED}
        kind = known.get(row["name"])
        if kind is None or corpus != "tiny-shakespeare":
            continue
        low, high = PUBLISHED[kind]
        bits = row["nanogpt_val_nats_per_char"] / math.log(2)  # one byte a character here
        if not low * (1 - MARGIN) <= bits <= high * (1 + MARGIN):
            usual = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"
            found.append(
                f"{row['name']} needs {bits:.3f} bits per byte on the last 10 %, where {usual} "
                "were published elsewhere: look for a fault before you trust this row."
            )
    return found
