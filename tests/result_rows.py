"""Rows of a report, for tests."""

from __future__ import annotations

from typing import Any

from compare.kinds import RowKind, Track
from compare.report.results import BASELINE, ResultRow

SCRATCH = (RowKind.COURSE, RowKind.TUNED, RowKind.RECORD)
FLOOR = (RowKind.N_GRAM, RowKind.ADAPTIVE, RowKind.UNIFORM)
BASE = "gpt2"


def make_row(kind: RowKind, bits_per_byte: float, **differing: Any) -> ResultRow:
    """Return a row for 100 bytes of text, named after its kind."""
    track: Any = Track.SCRATCH if kind in SCRATCH else BASELINE if kind in FLOOR else Track.GPT2
    values = {
        "name": kind.value,
        "track": track,
        "kind": kind,
        "base": BASE if track == Track.GPT2 else None,
        "nats": 70.0 * bits_per_byte,
        "bytes": 100,
        "chars": 100,
        "tokens": 30,
        "words": 20,
        "loss": 2.0,
        "bits_per_byte": bits_per_byte,
        "nats_per_char": 0.7 * bits_per_byte,
        "token_perplexity": 7.4,
        "word_perplexity": 30.0,
        "nanogpt_val_nats_per_char": 0.7 * bits_per_byte,
    }
    return ResultRow(**values | differing)
