"""Which runs a report compares: those on the same text, grouped by recipe and base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from compare.errors import Misuse
from compare.kinds import BaseKind, RowKind, Track
from compare.runs.find import CompleteRun, complete, latest
from compare.runs.identity import Identity
from compare.runs.record import Base, RunRecord
from compare.wording import share_of_text

LENGTH = ("epochs", "patience")  # options that decide how long a run trains


@dataclass(frozen=True)
class ShareGroup:
    """Complete runs of one recipe on a share of the training split, one for each seed."""

    share: float
    runs: tuple[CompleteRun, ...]
    """Sorted by seed; all have the same number of epochs."""


@dataclass(frozen=True)
class Group:
    """Complete runs of one recipe, one for each seed, in order of their validation loss."""

    runs: tuple[CompleteRun, ...]
    shares: tuple[ShareGroup, ...] = ()
    """The same recipe on parts of the training split, the smallest first."""

    @property
    def best(self) -> CompleteRun:
        """The run with the lowest validation loss."""
        return self.runs[0]

    @property
    def kind(self) -> RowKind:
        """The recipe."""
        return self.best.record.preset

    @property
    def all_runs(self) -> tuple[CompleteRun, ...]:
        """The runs on the whole training split, then those on a share of it."""
        return self.runs + tuple(run for group in self.shares for run in group.runs)


@dataclass(frozen=True)
class BaseGroups:
    """The recipes of the GPT-2 track that started from one base."""

    groups: tuple[Group, ...]
    """Full fine-tuning comes first, and the control last."""

    @property
    def base(self) -> Base:
        """What all their runs started from."""
        base = self.groups[0].best.record.base
        assert base is not None, "every run of the GPT-2 track has a base"
        return base

    @property
    def is_fine_tuned(self) -> bool:
        """Whether a recipe has trained the base's own weights, and not only the control."""
        return self.groups[0].kind is not RowKind.RANDOM_WEIGHTS


@dataclass(frozen=True)
class Study:
    """The runs that a report compares: all of them were trained on the same text."""

    scratch: tuple[Group, ...]
    bases: tuple[BaseGroups, ...]
    """The study's answer is about the first."""

    @property
    def gpt2(self) -> tuple[Group, ...]:
        """The groups of the GPT-2 track, base by base."""
        return tuple(group for base in self.bases for group in base.groups)

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
        """The run of the GPT-2 track to hand in and publish.

        It started from the first base, and is the best on validation of its fully fine-tuned runs.
        It is a LoRA run only if that base has no others.
        """
        return self.bases[0].groups[0].best


def find_study() -> Study:
    """Find the complete runs that were trained on the same text as the newest ones.

    For each preset, these are the runs of its newest configuration, one for each seed, and the runs
    of the same recipe on a share of the training split.  In the GPT-2 track, this holds for each
    base.  The first base is GPT-2 if it was fine-tuned, otherwise another pretrained model, and the
    stand-in only if there is no other; among several, it is the best on validation.

    Raises Misuse if a track has no run or only controls, or if the newest runs of the two tracks
    were trained on different texts.
    """
    scratch, gpt2 = latest(Track.SCRATCH), latest(Track.GPT2)
    if scratch.record.corpus.sha256 != gpt2.record.corpus.sha256:
        raise Misuse(
            f"{scratch.path} was trained on {scratch.record.corpus.name} and {gpt2.path} on "
            f"{gpt2.record.corpus.name}: train both tracks on the same --corpus"
        )
    found = Study(_by_preset(scratch), _by_base(gpt2))
    if not found.bases[0].is_fine_tuned:
        raise Misuse(
            f"{gpt2.path} is a control from random weights, and nothing was fine-tuned on the same "
            f"text: run {Track.GPT2.command} first"
        )
    return found


def _by_base(newest: CompleteRun) -> tuple[BaseGroups, ...]:
    """Return the runs with the same text as `newest`, grouped by base and recipe.

    A base is known by its weights.  If two bases have the same name, the one used last counts.
    """
    bases: list[BaseGroups] = []
    names: set[str] = set()
    weights: set[str] = set()
    for run in complete(newest.record.track)[::-1]:
        base, text = run.record.base, run.record.corpus.sha256
        if base is None or text != newest.record.corpus.sha256 or run.record.is_partial:
            continue
        if base.resolved not in names and base.weights_sha256 not in weights:
            bases.append(BaseGroups(_by_preset(run)))
        names.add(base.resolved)
        weights.add(base.weights_sha256)
    return tuple(sorted(bases, key=_preference))


def _preference(base: BaseGroups) -> tuple[bool, int, float]:
    """Return a sort key: the base that the study's answer is about has the lowest."""
    kinds = (BaseKind.GPT2, BaseKind.OTHER, BaseKind.STAND_IN)
    validation = base.groups[0].best.validation_nats
    return not base.is_fine_tuned, kinds.index(base.base.kind), validation


def _by_preset(newest: CompleteRun) -> tuple[Group, ...]:
    """Return the runs with the same text and base as `newest`, grouped by recipe."""
    inputs = Identity.of(newest.record)
    presets: dict[RowKind, dict[int, CompleteRun]] = {}
    newest_first = complete(newest.record.track)[::-1]
    for run in newest_first:
        if run.record.is_partial or not Identity.of(run.record).has_inputs_of(inputs):
            continue
        by_seed = presets.setdefault(run.record.preset, {})
        recipes = [
            Identity.of(each.record).without("seed").without_teachers()
            for each in (run, *by_seed.values())
        ]
        if all(recipe == recipes[0] for recipe in recipes):
            by_seed.setdefault(run.record.seed, run)
    groups = []
    for preset in sorted(presets, key=_order):
        runs = sorted(presets[preset].values(), key=lambda run: run.validation_nats)
        groups.append(Group(tuple(runs), _share_groups(runs[0], newest_first)))
    return tuple(groups)


def _share_groups(full: CompleteRun, newest_first: Sequence[CompleteRun]) -> tuple[ShareGroup, ...]:
    """Return the runs that trained like `full`, but on a share of the training split.

    For each share, these are the newest run of every seed with the epochs and the patience of the
    newest run on this share.
    """
    shares: dict[float, dict[int, CompleteRun]] = {}
    for run in newest_first:
        record = run.record
        if record.train_share == 1 or record.config.get("leave_out"):
            continue
        if record.preset is not full.record.preset or _recipe(record) != _recipe(full.record):
            continue
        by_seed = shares.setdefault(record.train_share, {})
        if all(_length(each.record) == _length(record) for each in by_seed.values()):
            by_seed.setdefault(record.seed, run)
    return tuple(
        ShareGroup(share, tuple(by_seed[seed] for seed in sorted(by_seed)))
        for share, by_seed in sorted(shares.items())
    )


def _recipe(record: RunRecord) -> Identity:
    """Return what is the same in all runs of a recipe, whatever their seed and share of the text.

    The number of epochs is left out, because a shorter text may be read more often, and with it
    how many epochs training waits for an improvement.
    """
    identity = Identity.of(record).without_teachers()
    return identity.without("seed", "train_share", "leave_out", *LENGTH)


def _length(record: RunRecord) -> dict[str, Any]:
    """Return the options that decide how long a run trains."""
    return {name: record.config.get(name) for name in LENGTH}


def left_out(study: Study) -> list[str]:
    """Say which runs on the text and the bases of `study` are not in it, and why.

    An older run that was repeated with the same seed is not mentioned, nor is one of an experiment
    that leaves out a play.
    """
    included = {run.path for group in study.groups for run in group.all_runs}
    runs = {track: complete(track) for track in Track}
    messages = []
    for group in study.groups:
        full = group.best.record
        for run in runs[full.track]:
            record = run.record
            if (
                run.path in included
                or record.preset is not full.preset
                or record.config.get("leave_out")
                or not Identity.of(record).has_inputs_of(Identity.of(full))
            ):
                continue
            reasons = _differences(group, run)
            if reasons:
                share = record.train_share
                where = f" on {share_of_text(share)}" if share < 1 else ""
                messages.append(f"{run.path}{where} is left out: {', '.join(reasons)}")
    return messages


def _differences(group: Group, run: CompleteRun) -> list[str]:
    """Describe how the runs of `group` on the same share of the text differ from another `run`."""
    if run.record.train_share == 1:
        now, was = (
            Identity.of(each.record).without("seed").without_teachers()
            for each in (group.best, run)
        )
        return now.differences_from(was)
    differences = _recipe(group.best.record).differences_from(_recipe(run.record))
    if differences:
        return differences
    length = _length(run.record)
    return [
        f"{name} was {length[name]} and is now {value}"
        for group_of_share in group.shares
        if group_of_share.share == run.record.train_share
        for name, value in _length(group_of_share.runs[0].record).items()
        if value != length[name]
    ]


def _order(preset: RowKind) -> tuple[bool, bool, str]:
    """Return a sort key: full fine-tuning comes first, and the control from random weights last."""
    return preset is not RowKind.FINE_TUNED, preset is RowKind.RANDOM_WEIGHTS, preset
