"""Reads and writes `reports/report.json`, and the note that the sealed text was opened."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from compare.errors import Misuse
from compare.files import write_atomically
from compare.report.results import SCHEMA, Results, SealedResult
from compare.runs.record import describe_invalid

PATH = Path("reports/report.json")
# When the sealed text was opened: kept even if report.json is deleted.
OPENING = PATH.with_name("sealed.json")


def write(results: Results, path: Path = PATH) -> None:
    """Replace the report at `path`; note next to it, once, that the sealed text was opened."""
    note_opening(results, path.with_name(OPENING.name))
    text = json.dumps(results.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode())


def note_opening(results: Results, path: Path = OPENING) -> None:
    """Note in `path` that `results` have scores of the sealed text, unless it is noted already."""
    if results.sealed and not path.exists():
        write_atomically(path, results.sealed.model_dump_json(indent=1).encode() + b"\n")


def read_opening() -> SealedResult | None:
    """Return when the sealed text was opened; None if it was not.  Raises Misuse if damaged."""
    try:
        return SealedResult.model_validate_json(OPENING.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise Misuse(f"{OPENING} is damaged ({describe_invalid(error)}): restore it") from None


def read(path: Path = PATH) -> Results:
    """Read `report.json`.  Raises Misuse if it is missing, damaged or of another version."""
    command = "python -m compare.report"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise Misuse(f"no {path}: make it with {command}") from None
    try:
        parsed = json.loads(data)
        if not isinstance(parsed, dict) or parsed.get("schema_version") != SCHEMA:
            raise Misuse(f"{path} was written by another version: write it again with {command}")
        return Results.model_validate_json(data)
    except ValidationError as error:
        raise Misuse(
            f"{path} is damaged ({describe_invalid(error)}): write it again with {command}"
        ) from None
    except ValueError as error:
        raise Misuse(f"{path} is damaged ({error}): write it again with {command}") from None
