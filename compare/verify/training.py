"""What records and cards say about training: weights do not show it, so these are claims."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from compare import files
from compare.course import MIN_EPOCHS, describe_losses, falls_visibly
from compare.kinds import TrackingMode
from compare.runs.find import CompleteRun
from compare.runs.record import RunRecord
from compare.runs.subjects import Subject
from compare.verify.card import Card
from compare.verify.loss_curves import LossCurve, loss_curves_of_card
from compare.verify.points import Assignment, Basis, Point, failed, judged, not_checkable, passed

UNCHANGED = ("unchanged", "The weights are those that the run saved")
OWN_LOOP = ("own-loop", "Own training loop, no Trainer")
EPOCHS = ("epochs", f"At least {MIN_EPOCHS} epochs")
FALLING = ("validation", "Validation loss after each epoch, falling")
LOWERED = ("validation", "Validation loss after each epoch, below that before fine-tuning")
TRACKING = ("tracking", "W&B: losses and samples")

# Files and tags that the transformers Trainer leaves.
TRAINER_FILES = ("training_args.bin", "trainer_state.json")
TRAINER_TAG = "generated_from_trainer"
WANDB = re.compile(r"https?://[\w.-]*wandb\.(?:ai|me)/[\w./?=&%~-]+")


def check_training(subject: Subject, card: Card, assignment: Assignment) -> list[Point]:
    """Check what the run's record says, or else the card."""
    points = []
    if subject.run:
        points.append(_check_unchanged(subject.run))
    if assignment is Assignment.SCRATCH:
        points.append(_check_own_loop(subject, card))
    source = "run.json" if subject.run else "the card"
    curves = loss_curves_of_card(card.body)
    if subject.run:
        curves = _loss_curves_of(subject.run.record)
    if assignment is Assignment.SCRATCH:
        points += _check_losses(curves, source)
    else:
        points.append(_check_loss_after_tuning(curves, source))
    return [*points, _check_tracking(subject.run, card)]


def _loss_curves_of(record: RunRecord) -> list[LossCurve]:
    """Return the validation losses in a run's record; [] if it has no epochs."""
    losses = [epoch.eval.loss for epoch in record.epochs]
    before = record.zero_shot.loss if record.zero_shot else None
    return [LossCurve(before, losses, len(losses))] if losses else []


def _check_unchanged(run: CompleteRun) -> Point:
    """Compare the files with their checksums at the end of training."""
    changed = files.damaged_files(run.model, run.record.model_sha256)
    if not run.record.model_sha256:
        return not_checkable(*UNCHANGED, "run.json has no checksums")
    if changed:
        return failed(
            *UNCHANGED,
            f"{', '.join(changed)} differ from the checksums in run.json: were they replaced?",
        )
    return passed(
        *UNCHANGED,
        f"{len(run.record.model_sha256)} files have the checksums in run.json",
        Basis.CLAIMED,
    )


def _check_own_loop(subject: Subject, card: Card) -> Point:
    """Look for traces of the Trainer; without any, only a record can say more."""
    # Of a repository, not all files are downloaded, and none in pickle format.
    listed = subject.repository.file_names if subject.repository else frozenset()
    left = [name for name in TRAINER_FILES if name in listed or (subject.folder / name).is_file()]
    if left:
        return failed(*OWN_LOOP, f"{left[0]} is a file that the Trainer writes")
    if TRAINER_TAG in card.tags:
        return failed(*OWN_LOOP, f"the card has the Trainer's tag {TRAINER_TAG}")
    if subject.run and subject.run.record.trainer_loaded is not None:
        loaded = subject.run.record.trainer_loaded
        evidence = "run.json: transformers.trainer was " + ("loaded" if loaded else "not loaded")
        return judged(*OWN_LOOP, not loaded, evidence, Basis.CLAIMED)
    found = "no trace of the Trainer"
    if subject.repository and subject.repository.is_from_cache:
        found = "what files the repository has is not known, because the Hub cannot be reached"
    return not_checkable(*OWN_LOOP, f"{found}, but weights do not show the loop: read the code")


def _check_losses(curves: Sequence[LossCurve], source: str) -> list[Point]:
    """Check the number of epochs and the course of the validation loss.

    `curves` are all that `source` may mean.
    """
    if not curves:
        return [not_checkable(*name, _no_table_in(source)) for name in (EPOCHS, FALLING)]
    falling = [
        judged(
            *FALLING,
            falls_visibly(curve.losses),
            f"{source}: {describe_losses(curve.losses)}",
            Basis.CLAIMED,
        )
        for curve in curves
    ]
    return [_agreed([_check_epochs(curve.epochs, source) for curve in curves]), _agreed(falling)]


def _check_epochs(epochs: float, source: str) -> Point:
    """Check the number of epochs; it is not whole if the table ends within the last."""
    if epochs < MIN_EPOCHS <= math.ceil(epochs):
        return not_checkable(
            *EPOCHS, f"{source}: its table ends at epoch {epochs:g}: ask whether training did, too"
        )
    described = f"{epochs:g} epoch" + ("" if epochs == 1 else "s")
    return judged(*EPOCHS, epochs >= MIN_EPOCHS, f"{source}: {described}", Basis.CLAIMED)


def _check_loss_after_tuning(curves: Sequence[LossCurve], source: str) -> Point:
    """Check that fine-tuning has lowered the validation loss; `curves` are all `source` may mean.

    There is no least number of epochs: a pretrained model may be at its best after the first.
    """
    if not curves:
        return not_checkable(*LOWERED, _no_table_in(source))
    return _agreed([_compare_with_base(curve, source) for curve in curves])


def _compare_with_base(curve: LossCurve, source: str) -> Point:
    """Compare the validation losses with that of the base."""
    described = describe_losses(curve.losses)
    if curve.before is None:
        return not_checkable(
            *LOWERED, f"{source}: {described}, but not the loss before fine-tuning: ask for it"
        )
    evidence = f"{source}: {curve.before:.3f} before fine-tuning, then {described}"
    return judged(*LOWERED, min(curve.losses) < curve.before, evidence, Basis.CLAIMED)


def _no_table_in(source: str) -> str:
    return f"{source} has no table of epochs with a validation loss: ask for the W&B run"


def _agreed(points: Sequence[Point]) -> Point:
    """Return the point on which all readings of the same table agree, if they do."""
    first = points[0]
    if all(point.verdict is first.verdict for point in points):
        return first
    return not_checkable(
        first.id,
        first.text,
        "epoch 0 in the card's table may be the state before training, or the first epoch: ask "
        "which it is",
    )


def _check_tracking(run: CompleteRun | None, card: Card) -> Point:
    """Look for the name of a W&B run in the record, or else in the card."""
    if run and run.record.tracking:
        tracking = run.record.tracking
        logged = run.logged_losses
        what = f"{', '.join(logged)} and {len(run.samples)} samples"
        if tracking.mode is TrackingMode.ONLINE:
            holds = len(logged) == 2 and bool(run.samples)
            return judged(*TRACKING, holds, f"run.json: {what}; {tracking.where}", Basis.CLAIMED)
        if tracking.mode is TrackingMode.OFFLINE:
            return not_checkable(
                *TRACKING,
                f"{what} were logged offline; to upload them: wandb sync {tracking.where}",
            )
        return failed(*TRACKING, "run.json: tracking was disabled", Basis.CLAIMED)
    if match := WANDB.search(card.text):
        return passed(*TRACKING, f"the card names {match[0].rstrip('.')}", Basis.CLAIMED)
    return not_checkable(*TRACKING, "no W&B run is named here: ask for its link")
