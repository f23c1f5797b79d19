"""What was pushed from here, `runs/publish/pushed.json`: the latest commit of each repository.

Only what was pushed from here is replaced without being asked.  The receipt does not suffice for
that: it is written only after a model has been read back, and has no Spaces.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from compare.errors import Misuse
from compare.files import write_atomically
from compare.runs.receipt import RECEIPT, Receipt

PUSHED = RECEIPT.with_name("pushed.json")
Commits = TypeAdapter(dict[str, str])


def commits_of(repo: str, repo_type: str) -> set[str]:
    """Return the latest commits of `repo` that were made from here, as far as files here say.

    Raises Misuse if one of these files is damaged.
    """
    known = {_read(PUSHED, Commits).get(f"{repo_type} {repo}")}
    if repo_type == "model":  # an earlier version of this project has written the receipt alone
        publications = _read(RECEIPT, Receipt).values()
        known |= {each.commit for each in publications if each.repo == repo}
    return {commit for commit in known if commit}


def note(repo: str, repo_type: str, commit: str) -> None:
    """Record the commit that a push from here has made.  Raises Misuse if the file is damaged."""
    commits = _read(PUSHED, Commits) | {f"{repo_type} {repo}": commit}
    write_atomically(PUSHED, json.dumps(commits, indent=2).encode() + b"\n")


def _read(path: Path, kind: TypeAdapter[Any]) -> dict[Any, Any]:
    """Return what the file `path` contains, or {} if it does not exist."""
    if not path.exists():
        return {}
    try:
        return kind.validate_json(path.read_bytes())
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise Misuse(f"{path} is damaged ({reason}): move it away") from None
