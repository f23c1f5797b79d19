"""The outcome of a check: the course's points, each with a verdict and its evidence."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from compare.runs.subjects import SubjectKind


class Assignment(StrEnum):
    """What was handed in; a fine-tuned model may be large, and may use the Trainer."""

    SCRATCH = "scratch"
    FINE_TUNED = "fine-tuned"


class Verdict(StrEnum):
    """What a check found."""

    PASS = "pass"
    FAIL = "fail"
    NOT_CHECKABLE = "not checkable"


class Basis(StrEnum):
    """What a verdict rests on."""

    COMPUTED = "computed"
    """Recomputed here from the files that were handed in: it holds whatever a record says."""
    CLAIMED = "claimed"
    """Said by a card or a record; nothing here contradicts it, and nothing here proves it."""


@dataclass(frozen=True)
class Point:
    """One point of the course, or one property that a score relies on."""

    id: str
    text: str
    verdict: Verdict
    evidence: str
    """What was found; for a point that is not checkable, also what would make it so."""
    basis: Basis = Basis.COMPUTED


@dataclass
class Measurements:
    """The numbers of a hand-in; None if they could not be computed."""

    parameters: int | None = None
    weights_sha256: str | None = None
    text: str | None = None
    """Name of the corpus, and which part of it was scored."""
    bits_per_byte: float | None = None
    """Of the test split."""
    validation_bits_per_byte: float | None = None
    training_bits_per_byte: float | None = None
    """Of as much of the training split, at a random place."""
    ci95: tuple[float, float] | None = None
    sample: str | None = None
    """A prompt and its continuation."""


@dataclass(frozen=True)
class Verification:
    """All that was found about one hand-in."""

    what: str
    """As it was named on the command line."""
    kind: SubjectKind
    description: str
    """The kind in words; of a repository, with its commit."""
    assignment: Assignment
    measurements: Measurements
    points: list[Point]
    commit: str | None = None
    """Of the repository on the Hub; None for a run or a directory."""

    def count(self, verdict: Verdict) -> int:
        """Return the number of points with this verdict."""
        return Counter(point.verdict for point in self.points)[verdict]

    @property
    def failed(self) -> list[Point]:
        """The points that failed."""
        return [point for point in self.points if point.verdict is Verdict.FAIL]


@dataclass(frozen=True)
class Unavailable:
    """A hand-in that could not be checked at all, and the reason."""

    what: str
    reason: str


Outcome = Verification | Unavailable


@dataclass(frozen=True)
class Outcomes:
    """What was found about several hand-ins."""

    outcomes: list[Outcome]
    notes: list[str] = field(default_factory=list)
    """What is seen only when hand-ins are compared with each other."""
    seed: int | None = None
    """Seed for the samples, for the tokens that were changed or scored alone, and for the passage
    of the training split that was scored."""

    @property
    def ok(self) -> bool:
        """Whether everything was checked, and no point failed."""
        return all(
            isinstance(outcome, Verification) and not outcome.failed for outcome in self.outcomes
        )

    def to_json(self) -> dict[str, Any]:
        """Return the outcomes as a JSON-serializable dict."""
        return asdict(self) | {"ok": self.ok}


def passed(id: str, text: str, evidence: str, basis: Basis = Basis.COMPUTED) -> Point:
    """Return a point that passes."""
    return Point(id, text, Verdict.PASS, evidence, basis)


def failed(id: str, text: str, evidence: str, basis: Basis = Basis.COMPUTED) -> Point:
    """Return a point that fails."""
    return Point(id, text, Verdict.FAIL, evidence, basis)


def not_checkable(id: str, text: str, evidence: str) -> Point:
    """Return a point that cannot be checked; `evidence` says why, and what would help."""
    return Point(id, text, Verdict.NOT_CHECKABLE, evidence)


def judged(id: str, text: str, holds: bool, evidence: str, basis: Basis = Basis.COMPUTED) -> Point:
    """Return a point that passes if `holds`, and fails otherwise."""
    return (passed if holds else failed)(id, text, evidence, basis)
