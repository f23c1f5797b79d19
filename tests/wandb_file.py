"""Read `.wandb` files with W&B's own command: `wandb leet inspect --json` prints their records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import HANGS

# Otherwise, the command reports to W&B that it was used.
ALONE = {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"}


def records(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return all complete records, in lists by their kind, such as "history".

    The last record may be truncated if the process still writes, or was killed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "wandb", "leet", "inspect", "--json", path],
        env=os.environ | ALONE,
        check=True,
        capture_output=True,
        text=True,
        timeout=HANGS,
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for line in map(json.loads, done.stdout.splitlines()):
        found.setdefault(line["type"], []).append(line[line["type"]])
    return found


def logged(path: Path) -> list[dict[str, Any]]:
    """Return the rows passed to `run.log`, without W&B's own keys."""
    rows = [record["item"] for record in records(path).get("history", [])]
    return [{k: v for k, v in row.items() if not k.startswith("_")} for row in rows]
