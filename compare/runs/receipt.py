"""What was published: runs/publish/receipt.json, written when a pushed model was read back."""

from __future__ import annotations

import json
from typing import Any

from compare.files import write_atomically
from compare.runs.writer import ROOT

RECEIPT = ROOT / "publish" / "receipt.json"


def published(run: dict[str, Any]) -> str | None:
    """The address under which this very run's model is on the Hub; None before it is."""
    entry = _read().get(run["track"])
    return entry["url"] if entry and entry["of"] == _of(run) else None


def note(run: dict[str, Any], entry: dict[str, Any]) -> None:
    """Put down that this run's model was published: `entry` has at least its `url`."""
    known = _read() | {run["track"]: {"of": _of(run), **entry}}
    write_atomically(RECEIPT, (json.dumps(known, indent=2) + "\n").encode())


def _of(run: dict[str, Any]) -> list[str]:
    return [run["path"].name, run["started"]]


def _read() -> dict[str, Any]:
    return json.loads(RECEIPT.read_text("utf-8")) if RECEIPT.exists() else {}
