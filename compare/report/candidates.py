"""What the report measures: a name for each row, and the runs or the base behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compare.errors import Misuse
from compare.kinds import RowKind, Track
from compare.runs import models
from compare.runs.find import CompleteRun
from compare.runs.record import Base
from compare.runs.study import BaseGroups, Study


@dataclass(frozen=True)
class Candidate:
    """A model to be measured; if it has several runs, they differ in their seed."""

    name: str
    kind: RowKind
    track: Track
    runs: tuple[CompleteRun, ...]
    """The best on validation first: it speaks for the row.  Empty for an untouched base."""
    folders: tuple[Path, ...]
    """The model directory of each run, or that of the base."""
    base: Base | None
    """What it started from, in the GPT-2 track."""


def candidates(study: Study) -> list[Candidate]:
    """Return a candidate for each recipe of `study`, and one for each untouched base.

    Raises Failure if the model of a run has changed since training or needs foreign code, and
    Misuse if the weights of a base have changed.
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
    return [*trained, *map(_zero_shot, study.bases)]


def _zero_shot(groups: BaseGroups) -> Candidate:
    """Return the candidate for the untouched base of `groups`.

    Raises Misuse if its weights have changed.
    """
    base, run = groups.base, groups.groups[0].best.path
    folder = Path(base.folder)
    if not folder.is_dir() or models.weights_sha256(folder) != base.weights_sha256:
        raise Misuse(
            f"the base in {folder} has changed since {run} started from it: restore it, or move "
            f"the runs that started from it out of {run.parent}"
        )
    name = f"{base.resolved} {RowKind.ZERO_SHOT}"
    return Candidate(name, RowKind.ZERO_SHOT, Track.GPT2, runs=(), folders=(folder,), base=base)
