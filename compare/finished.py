"""Finding the runs that trainings have completed; unfinished ones are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compare.cli import Misuse
from compare.runs import COMMANDS, ROOT, SCHEMA, read_lines


def load(path: Path) -> dict[str, Any]:
    """The record of the complete run in directory `path`, with `path`, `history` and `samples`.

    Raises Misuse when there is no run, or it is not complete.
    """
    path = path.parent / path.readlink() if path.is_symlink() else path
    record = _record(path)
    if record["status"] != "complete":
        raise Misuse(
            f"{path} is not complete: finish it with {COMMANDS[record['track']]} --resume "
            "and the options of its run.json"
        )
    return record | {
        "path": path,
        "history": read_lines(path / "history.jsonl"),
        "samples": read_lines(path / "samples.jsonl"),
    }


def latest(track: str) -> dict[str, Any]:
    """The newest complete run of `track`.  Raises Misuse, with the command that makes one."""
    link = ROOT / track / "latest"
    if not link.exists():
        unfinished = [path.parent.name for path in sorted((ROOT / track).glob("*/run.json"))]
        raise Misuse(
            f"no complete run in {ROOT / track}: make one with {COMMANDS[track]}"
            + (f", or finish {', '.join(unfinished)} with --resume" if unfinished else "")
        )
    return load(link)


def complete(track: str) -> list[dict[str, Any]]:
    """All complete runs of `track`, oldest first."""
    found = []
    for file in (ROOT / track).glob("*/run.json"):
        if file.parent.is_symlink():
            continue
        record = _record(file.parent)
        if record["status"] == "complete":
            found.append((record["started"], file.parent))
    return [load(path) for _, path in sorted(found)]


def newest() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The newest complete scratch run of each preset, and the newest of the GPT-2 track.

    Raises Misuse when a track has none, or when they were trained on different texts.
    """
    gpt2, scratch = latest("gpt2_finetune"), latest("scratch_lm")
    if scratch["corpus"]["sha256"] != gpt2["corpus"]["sha256"]:
        raise Misuse(
            f"{scratch['path']} was trained on {scratch['corpus']['name']} and {gpt2['path']} on "
            f"{gpt2['corpus']['name']}: train both tracks on the same --corpus"
        )
    same = [
        run for run in complete("scratch_lm") if run["corpus"]["sha256"] == gpt2["corpus"]["sha256"]
    ]
    by_preset = {run["preset"]: run for run in same}
    return [by_preset[preset] for preset in sorted(by_preset)], gpt2


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads((path / "run.json").read_text("utf-8"))
    except FileNotFoundError:
        raise Misuse(f"{path} is not a run directory: it has no run.json") from None
    except ValueError as error:
        raise Misuse(f"{path}/run.json is damaged ({error}): move the directory away") from None
    if record.get("schema") != SCHEMA:
        raise Misuse(f"{path}/run.json has schema {record.get('schema')}, this reads {SCHEMA}")
    return record
