"""Evaluate a recipe on unseen plays: train without each play in turn, and score the model on it.

    python -m scratch_lm.leave_one_out --preset tuned
    python -m scratch_lm.leave_one_out --preset tuned --muon-learning-rate 0.02
    python -m scratch_lm.leave_one_out --preset tuned --plays Coriolanus "Richard III"

The validation split continues a play whose beginning is in the training split.  A recipe can
therefore do well on validation and badly on plays with other names, or vice versa.  Recipes are
chosen on both, and never on the test split.  All options of `scratch_lm.train` are accepted except
--leave-out, --resume, --teachers and the preset `record`: teachers have read the plays left out.
Other texts than Tiny Shakespeare have no plays to leave out.

The runs are stored in `runs/scratch_lm/`.  A second call with the same options finishes an
interrupted run and trains only the missing ones.  Finish or delete an interrupted run before you
change the options.
"""

from dataclasses import dataclass, field, fields

from compare import cli
from scratch_lm.config import PRESETS, ScratchOptions


@dataclass(frozen=True)
class LeaveOneOutOptions(ScratchOptions):
    """Train without each play in turn, and score the models on the play they have not seen.

    Unfinished runs are always continued, so --resume is refused, like --leave-out, --teachers and
    --preset record.
    """

    plays: list[str] = field(default_factory=list)
    """Titles of the plays to leave out; by default, the seven plays that are entirely in the
    training split."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.leave_out:
            raise ValueError("--leave-out cannot be used here: give the plays with --plays")
        if self.resume:
            raise ValueError("--resume is refused here: unfinished runs are always continued")
        if self.teachers:
            raise ValueError(
                "--teachers cannot be used here, nor --preset record, which has teachers: the "
                "teachers have read the plays left out"
            )


if __name__ == "__main__":
    options = cli.parse(LeaveOneOutOptions, PRESETS)

import signal
from statistics import fmean

from compare import corpus as corpora
from compare.corpus.subsets import left_out_play, training_plays
from compare.device import choose_device
from compare.errors import Interrupted, Misuse
from compare.ruler import scoring
from compare.runs import models
from compare.signals import restored_signal_handlers
from scratch_lm import parallel
from scratch_lm.train import train

AGAIN = "repeat the same command"


def leave_one_out(options: LeaveOneOutOptions) -> None:
    """Train one model without each play, and print its bits per byte on that play.

    Raises Misuse if the training split has no play with one of the titles, if an interrupted run
    was started with other options, or under torchrun with several processes, and Interrupted after
    a signal.
    """
    if parallel.WORLD_SIZE > 1:  # each call of `train` would join the process group again
        raise Misuse(
            f"{parallel.WORLD_SIZE} processes cannot share this command, which trains one model "
            "after another: start it without torchrun"
        )
    corpus = corpora.load(options.corpus)
    plays = options.plays or training_plays()
    # Before training, so that an unknown title is reported immediately.
    texts = {play: left_out_play(corpus, play) for play in plays}
    shared = {field.name: getattr(options, field.name) for field in fields(ScratchOptions)}
    results = []
    for play in plays:
        train_options = ScratchOptions(**shared | {"leave_out": play, "resume": True})
        try:
            with restored_signal_handlers():  # so that Ctrl-C also ends it between two runs
                run = train(train_options)
            loaded = models.load(run.path / "model", device=choose_device(options.device))
            score = scoring.score(*loaded, texts[play], label=play)
        except Interrupted as stop:  # which names the command of this one training
            raise Interrupted(stop.signal_number, AGAIN) from None
        except KeyboardInterrupt:  # outside the training steps
            raise Interrupted(signal.SIGINT, AGAIN) from None
        results.append((play, score.metrics.bits_per_byte, run.record.best_scores.bits_per_byte))
    print(f"{'left out':25}  its bits/byte  validation")
    for play, unseen, validation in results:
        print(f"{play:25}  {unseen:13.4f}  {validation:10.4f}")
    means = [fmean(column) for column in list(zip(*results, strict=True))[1:]]
    print(f"{'mean':25}  {means[0]:13.4f}  {means[1]:10.4f}")


if __name__ == "__main__":
    cli.run(leave_one_out, options)
