"""The rows of the comparison: a name, and the runs behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compare.errors import Misuse
from compare.runs import find, models


@dataclass(frozen=True)
class Row:
    """One line of the comparison: a name, and the runs behind it, which differ in their seed."""

    name: str
    kind: str
    runs: find.Runs  # the best on validation first: it speaks for the row
    folders: list[Path]  # of each run's weights

    @property
    def trained(self) -> bool:
        """False for a base that no run has changed."""
        return self.kind != "zero-shot"


def rows(scratch: list[find.Runs], gpt2: list[find.Runs]) -> list[Row]:
    """A row for each preset of `compare.runs.find.study`, and one for the untouched base.

    Raises Misuse when that base is not there any more, or not the same.
    """
    for runs in [*scratch, *gpt2]:
        for run in runs:
            models.require_whole(run)
    made = [
        Row(
            name=find.model_name(runs[0]),
            kind=runs[0]["preset"],
            runs=runs,
            folders=[run["path"] / "model" for run in runs],
        )
        for runs in [*scratch, *gpt2]
    ]
    run = gpt2[0][0]
    base, folder = run["base"], Path(run["base"]["folder"])
    if not folder.is_dir() or models.weights_sha256(folder) != base["weights_sha256"]:
        raise Misuse(f"the base in {folder} has changed since {run['path']} started from it")
    return [*made, Row(f"{base['resolved']} zero-shot", "zero-shot", [run], [folder])]
