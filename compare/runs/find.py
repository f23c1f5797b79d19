"""Find complete runs; unfinished ones are refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compare import corpus as corpora
from compare.errors import Misuse
from compare.kinds import RowKind, RunStatus, Track
from compare.runs.latest import latest_run, resolve
from compare.runs.record import RunRecord, read_record
from compare.runs.start import INPUT_HASHES, identity
from compare.runs.writer import ROOT, read_lines


@dataclass(frozen=True)
class CompleteRun:
    """A complete run: its directory and what it holds."""

    path: Path
    record: RunRecord
    history: list[dict[str, Any]]
    samples: list[dict[str, Any]]

    @property
    def model(self) -> Path:
        """The directory of its best epoch's model."""
        return self.path / "model"

    @property
    def validation_nats(self) -> float:
        """What its saved model needs for the validation split."""
        return self.record.best_scores.nats


@dataclass(frozen=True)
class Group:
    """Complete runs of one recipe, one for each seed, in order of their validation loss."""

    runs: tuple[CompleteRun, ...]

    @property
    def best(self) -> CompleteRun:
        """The run with the lowest validation loss."""
        return self.runs[0]

    @property
    def kind(self) -> RowKind:
        """The recipe."""
        return self.best.record.preset


@dataclass(frozen=True)
class Study:
    """The runs that a report compares: all of them were trained on the same text."""

    scratch: tuple[Group, ...]
    gpt2: tuple[Group, ...]
    """From the same base; what the study asks for comes first, the control last."""

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of both tracks."""
        return self.scratch + self.gpt2

    @property
    def best_scratch(self) -> CompleteRun:
        """The run of the scratch track to hand in and publish: the best on validation."""
        return min((group.best for group in self.scratch), key=lambda run: run.validation_nats)

    @property
    def best_gpt2(self) -> CompleteRun:
        """The run of the GPT-2 track to hand in and publish: full fine-tuning, best on validation.

        It is a LoRA run only in a study without full fine-tuning.
        """
        return self.gpt2[0].best


def load(path: Path) -> CompleteRun:
    """The complete run in directory `path`.  Raises Misuse when there is none."""
    path = resolve(path)
    record = read_record(path)
    if record.status is not RunStatus.COMPLETE:
        raise Misuse(f"{path} is not complete: finish it with {record.command} --resume")
    return CompleteRun(
        path, record, read_lines(path / "history.jsonl"), read_lines(path / "samples.jsonl")
    )


def latest(track: Track) -> CompleteRun:
    """The newest complete run of `track`.  Raises Misuse, with the command that makes one."""
    newest = latest_run(ROOT / track)
    if newest is None:
        unfinished = [path.parent.name for path in sorted((ROOT / track).glob("*/run.json"))]
        raise Misuse(
            f"no complete run in {ROOT / track}: make one with {track.command}"
            + (f", or finish {', '.join(unfinished)} with --resume" if unfinished else "")
        )
    return load(newest)


def complete(track: Track) -> list[CompleteRun]:
    """All complete runs of `track`, oldest first."""
    folders = [
        file.parent for file in (ROOT / track).glob("*/run.json") if not file.parent.is_symlink()
    ]
    finished = [each for each in folders if read_record(each).status is RunStatus.COMPLETE]
    return sorted(map(load, finished), key=lambda run: (run.record.started, run.path))


def corpus_of(run: CompleteRun) -> corpora.Corpus:
    """The text that a run was trained on.  Raises Misuse when it is not that text any more."""
    name, trained_on = run.record.config["corpus"], run.record.corpus
    corpus = corpora.load(name)
    if corpus.sha256 != trained_on.sha256:
        raise Misuse(
            f"{name} has changed since {run.path} was trained on it "
            f"(sha256 {corpus.sha256[:8]}..., then {trained_on.sha256[:8]}...): train again"
        )
    return corpus


def study() -> Study:
    """Find the complete runs that were trained on the same text as the newest ones.

    For each preset, these are the runs of its newest configuration, one for each seed.  All runs of
    the GPT-2 track started from the same base as the newest one.

    Raises Misuse if a track has no run or only controls, or if the newest runs of the two tracks
    were trained on different texts.
    """
    scratch, gpt2 = latest(Track.SCRATCH), latest(Track.GPT2)
    if scratch.record.corpus.sha256 != gpt2.record.corpus.sha256:
        raise Misuse(
            f"{scratch.path} was trained on {scratch.record.corpus.name} and {gpt2.path} on "
            f"{gpt2.record.corpus.name}: train both tracks on the same --corpus"
        )
    found = Study(_by_preset(scratch), _by_preset(gpt2))
    if found.gpt2[0].kind is RowKind.RANDOM_WEIGHTS:
        raise Misuse(
            f"{gpt2.path} is a control from random weights, and nothing was fine-tuned from the "
            f"same base: make that with {Track.GPT2.command}"
        )
    return found


def _by_preset(newest: CompleteRun) -> tuple[Group, ...]:
    """The runs made from the same text and base as `newest`, in groups of one recipe each."""
    material = identity(newest.record)
    presets: dict[RowKind, dict[int, CompleteRun]] = {}
    for run in reversed(complete(newest.record.track)):
        other = any(identity(run.record)[key] != material[key] for key in INPUT_HASHES)
        if other or run.record.is_partial:
            continue
        by_seed = presets.setdefault(run.record.preset, {})
        recipes = [identity(each.record) | {"seed": None} for each in (run, *by_seed.values())]
        if all(recipe == recipes[0] for recipe in recipes):
            by_seed.setdefault(run.record.seed, run)
    return tuple(
        Group(tuple(sorted(presets[preset].values(), key=lambda run: run.validation_nats)))
        for preset in sorted(presets, key=_order)
    )


def _order(preset: RowKind) -> tuple[bool, bool, str]:
    """What the study asks for first, its control last."""
    return preset is not RowKind.FINE_TUNED, preset is RowKind.RANDOM_WEIGHTS, preset
