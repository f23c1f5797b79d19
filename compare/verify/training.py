"""What records and cards say about training: weights do not show it, so these are claims."""

from __future__ import annotations

import re
from collections.abc import Sequence

from compare import files
from compare.course import MIN_EPOCHS, describe_losses, falls_visibly
from compare.kinds import TrackingMode
from compare.runs.find import CompleteRun
from compare.runs.subjects import Subject
from compare.verify.card import Card
from compare.verify.claims import losses_of_card
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
    before, losses = losses_of_card(card.body)
    if subject.run:
        record = subject.run.record
        losses = [epoch.eval.loss for epoch in record.epochs]
        before = record.zero_shot.loss if record.zero_shot else None
    if assignment is Assignment.SCRATCH:
        points += _check_losses(losses, source)
    else:
        points.append(_check_loss_after_tuning(losses, before, source))
    return [*points, _check_tracking(subject.run, card)]


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
    return not_checkable(
        *OWN_LOOP, "no trace of the Trainer, but weights do not show the loop: read the code"
    )


def _check_losses(losses: Sequence[float], source: str) -> list[Point]:
    """Check the number of epochs and the course of the validation loss."""
    if not losses:
        reason = f"{source} has no table of epochs with a validation loss: ask for the W&B run"
        return [not_checkable(*EPOCHS, reason), not_checkable(*FALLING, reason)]
    claimed = Basis.CLAIMED
    return [
        judged(*EPOCHS, len(losses) >= MIN_EPOCHS, f"{source}: {len(losses)} epochs", claimed),
        judged(*FALLING, falls_visibly(losses), f"{source}: {describe_losses(losses)}", claimed),
    ]


def _check_loss_after_tuning(losses: Sequence[float], before: float | None, source: str) -> Point:
    """Check that fine-tuning has lowered the validation loss; `before` is that of the base.

    There is no least number of epochs: a pretrained model may be at its best after the first.
    """
    if not losses:
        return not_checkable(
            *LOWERED, f"{source} has no table of epochs with a validation loss: ask for the W&B run"
        )
    if before is None:
        return not_checkable(
            *LOWERED,
            f"{source}: {describe_losses(losses)}, but not the loss before fine-tuning: ask for it",
        )
    evidence = f"{source}: {before:.3f} before fine-tuning, then {describe_losses(losses)}"
    return judged(*LOWERED, min(losses) < before, evidence, Basis.CLAIMED)


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
