"""What the report measures: a name for each row, and the runs or the base behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compare.errors import Misuse
from compare.kinds import RowKind, Track
from compare.runs import models
from compare.runs.find import CompleteRun, Group, Study
from compare.runs.record import Base


@dataclass(frozen=True)
class Candidate:
    """A model to be measured; if it has several runs, they differ in their seed."""

    name: str
    kind: RowKind
    track: Track
    runs: tuple[CompleteRun, ...]
    """The best on validation first: it speaks for the row.  None for an untouched base."""
    folders: tuple[Path, ...]
    """Of the weights of each run, or of the base."""
    base: Base | None
    """What it started from, in the GPT-2 track."""


def candidates(study: Study) -> list[Candidate]:
    """Return a candidate for each recipe of `study`, and one for the untouched base.

    Raises Misuse if the weights of a run or of the base have changed.
    """
    for group in study.groups:
        for run in group.all_runs:
            models.require_unchanged(run)
    trained = [
        Candidate(
            name=group.best.record.display_name,
            kind=group.kind,
            track=group.best.record.track,
            runs=group.runs,
            folders=tuple(run.model for run in group.runs),
            base=group.best.record.base,
        )
        for group in study.groups
    ]
    return [*trained, _zero_shot(study.gpt2[0])]


def _zero_shot(group: Group) -> Candidate:
    """The base that the runs of `group` started from."""
    base = group.best.record.base
    assert base is not None, "every run of the GPT-2 track has a base"
    folder = Path(base.folder)
    if not folder.is_dir() or models.weights_sha256(folder) != base.weights_sha256:
        raise Misuse(f"the base in {folder} has changed since {group.best.path} started from it")
    name = f"{base.resolved} {RowKind.ZERO_SHOT}"
    return Candidate(name, RowKind.ZERO_SHOT, Track.GPT2, runs=(), folders=(folder,), base=base)
