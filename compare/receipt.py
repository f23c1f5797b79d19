"""What was published: runs/publish/receipt.json, written when a pushed model was read back."""

from __future__ import annotations

import json
from typing import Any

from compare.runs import ROOT

RECEIPT = ROOT / "publish" / "receipt.json"


def published(run: dict[str, Any]) -> str | None:
    """The address under which this very run's model is on the Hub; None before it is."""
    if not RECEIPT.exists():
        return None
    entry = json.loads(RECEIPT.read_text("utf-8")).get(run["track"], {})
    same = (entry.get("run"), entry.get("started")) == (run["path"].name, run["started"])
    return entry["url"] if same else None
