"""Find and read complete runs.  `load` refuses an unfinished run; the other functions skip it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compare import corpus as corpora
from compare.errors import Misuse
from compare.kinds import RowKind, RunStatus, Track
from compare.ruler.sampling import Sample
from compare.runs import history
from compare.runs.history import EvaluationLine, HistoryLine, StepsLine
from compare.runs.latest import NAME, latest_run, resolve
from compare.runs.record import RunRecord, read_record
from compare.runs.writer import ROOT


@dataclass(frozen=True)
class CompleteRun:
    """A complete run: its directory and what it holds."""

    path: Path
    record: RunRecord
    history: list[HistoryLine]
    samples: list[Sample]

    @property
    def model(self) -> Path:
        """The directory of its best epoch's model."""
        return self.path / "model"

    @property
    def logged_losses(self) -> list[str]:
        """The names of the losses in its history, as in W&B."""
        names = {StepsLine: "train/loss", EvaluationLine: "eval/loss"}
        return [name for kind, name in names.items() if kind in map(type, self.history)]

    @property
    def validation_nats(self) -> float:
        """What its saved model needs for the validation split."""
        return self.record.best_scores.nats


def load(path: Path) -> CompleteRun:
    """Return the complete run in directory `path`.  Raises Misuse if there is none."""
    path = resolve(path)
    record = read_record(path)
    if record.status is RunStatus.FAILED:
        reason = f" ({record.failure})" if record.failure else ""
        raise Misuse(f"{path} has failed{reason}: train again with other options")
    if record.status is not RunStatus.COMPLETE:
        raise Misuse(f"{path} is not complete: finish it with {record.command} --resume")
    return _with_lines(path, record)


def latest(track: Track) -> CompleteRun:
    """Return the newest complete run of `track` that was trained on the whole training split.

    A control from random weights is returned only if there is no other run: it may be the newest by
    chance, where several training runs execute at the same time.  Raises Misuse if there is no run;
    the message has the command that makes one.
    """
    newest = latest_run(ROOT / track)
    if newest is not None:
        record = read_record(newest)
        if record.status is RunStatus.COMPLETE and not _is_control(record):
            return load(newest)
    # The run that `latest` pointed to may also have been moved away, or its process was killed just
    # before completing it.
    whole = [run for run in complete(track) if not run.record.is_partial]
    if whole:
        return ([run for run in whole if not _is_control(run.record)] or whole)[-1]
    if newest is not None:
        return load(newest)  # raises Misuse, and says what to do
    unfinished = [
        folder.name
        for folder, record in _records(track).items()
        if record.status is RunStatus.RUNNING and not record.is_partial
    ]
    raise Misuse(
        f"no complete run in {ROOT / track} that was trained on the whole training split: "
        f"make one with {track.command}"
        + (f", or finish {', '.join(unfinished)} with --resume" if unfinished else "")
    )


def _is_control(record: RunRecord) -> bool:
    """Return whether the run only shows what its recipe learns without pretraining."""
    return record.preset is RowKind.RANDOM_WEIGHTS


def complete(track: Track) -> list[CompleteRun]:
    """Return all complete runs of `track`, oldest first."""
    finished = [
        _with_lines(folder, record)
        for folder, record in _records(track).items()
        if record.status is RunStatus.COMPLETE
    ]
    return sorted(finished, key=lambda run: (run.record.started, run.path))


def _records(track: Track) -> dict[Path, RunRecord]:
    """Return the records of all runs of `track`, by directory; `latest` is none of its own."""
    files = sorted((ROOT / track).glob("*/run.json"))
    return {file.parent: read_record(file.parent) for file in files if file.parent.name != NAME}


def _with_lines(path: Path, record: RunRecord) -> CompleteRun:
    """Return the run in directory `path`, whose record has been read."""
    return CompleteRun(path, record, history.read_history(path), history.read_samples(path))


def corpus_of(run: CompleteRun) -> corpora.Corpus:
    """Return the text that a run was trained on.

    Raises Misuse if the text has been moved or has changed since.
    """
    name, trained_on = run.record.config["corpus"], run.record.corpus
    try:
        corpus = corpora.load(name)
    except Misuse:  # only for files
        if Path(name).exists():
            raise
        raise Misuse(
            f"{run.path} was trained on {name}, which is no longer there: put it back"
        ) from None
    if corpus.sha256 != trained_on.sha256:
        raise Misuse(
            f"{name} has changed since {run.path} was trained on it "
            f"(sha256 {corpus.sha256[:8]}... now, {trained_on.sha256[:8]}... at that time): "
            "train again"
        )
    return corpus
