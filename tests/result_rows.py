"""Rows of a report, for tests."""

from __future__ import annotations

from typing import Any

from compare.kinds import RowKind, Track
from compare.report.results import ResultRow

SCRATCH = (RowKind.COURSE, RowKind.TUNED, RowKind.RECORD)


def make_row(kind: RowKind, bits_per_byte: float, **differing: Any) -> ResultRow:
    """Return a row for 100 bytes of text, named after its kind."""
    values = {
        "name": kind.value,
        "track": Track.SCRATCH if kind in SCRATCH else Track.GPT2,
        "kind": kind,
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
