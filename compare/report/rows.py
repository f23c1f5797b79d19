"""The rows of the comparison: a name, and the runs behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compare.errors import Misuse
from compare.kinds import RowKind
from compare.runs import models
from compare.runs.find import Group


@dataclass(frozen=True)
class Row:
    """One line of the comparison: a name, and the runs behind it, which differ in their seed."""

    name: str
    kind: RowKind
    runs: Group  # the best on validation first: it speaks for the row
    folders: list[Path]  # of each run's weights

    @property
    def trained(self) -> bool:
        """False for a base that no run has changed."""
        return self.kind is not RowKind.ZERO_SHOT


def rows(scratch: Sequence[Group], gpt2: Sequence[Group]) -> list[Row]:
    """A row for each preset of `compare.runs.find.study`, and one for the untouched base.

    Raises Misuse when that base is not there any more, or not the same.
    """
    groups = [*scratch, *gpt2]
    for group in groups:
        for run in group:
            models.require_whole(run)
    trained = [
        Row(
            name=group[0].record.display_name,
            kind=group[0].record.preset,
            runs=group,
            folders=[run.model for run in group],
        )
        for group in groups
    ]
    return [*trained, _zero_shot(gpt2[0])]


def _zero_shot(group: Group) -> Row:
    """The base that these runs started from."""
    run = group[0]
    base = run.record.base
    assert base is not None, "every run of the GPT-2 track has a base"
    folder = Path(base.folder)
    if not folder.is_dir() or models.weights_sha256(folder) != base.weights_sha256:
        raise Misuse(f"the base in {folder} has changed since {run.path} started from it")
    return Row(f"{base.resolved} {RowKind.ZERO_SHOT}", RowKind.ZERO_SHOT, [run], [folder])
