"""Measure how many seconds of training it takes until validation reaches a score.

    python -m scratch_lm.time_to_quality --preset tuned
    python -m scratch_lm.time_to_quality --preset tuned --epochs 2   # a schedule for less time

The model is evaluated every 50 steps.  Only training steps count as time, the first drills
included: not the evaluations, nor start-up, training the tokenizer and writing files.

Learning rates decay over all --epochs, so a score in the middle of a run is worse than that of a
shorter run that ends there.  To measure the shorter run, lower --epochs.

By default, the score is that of nanoGPT's largest published model for Tiny Shakespeare, which has
10.65 M parameters and was trained on a GPU: 1.4697 nats per character, or 2.12 bits per byte.  That
is on nanoGPT's validation split, which is this project's validation and test splits together, and
whose second half is harder.  The test split is not read here: `compare.report` scores the finished
model on both.

All options of `scratch_lm.train` are accepted except --resume, --tracking, --teachers and the
preset `record`: the time to train the teachers would have to count.  The run is not kept, because
its wall time includes the evaluations.
"""

from dataclasses import dataclass

from compare import cli
from scratch_lm.config import PRESETS, ScratchOptions

NANOGPT_BITS_PER_BYTE = 2.12


@dataclass(frozen=True)
class TimeToQualityOptions(ScratchOptions):
    """Train, and print the seconds of training until validation reaches a score.

    The run is not kept: --resume, --tracking online and offline, --teachers and --preset record are
    refused.
    """

    target: float = NANOGPT_BITS_PER_BYTE
    """Bits per byte to reach on the validation split; by default, what nanoGPT's largest published
    model for Tiny Shakespeare needs for its own validation split."""

    def __post_init__(self) -> None:
        super().__post_init__()
        cli.check(self, "target", 0.1, 20)
        if self.resume or self.tracking not in ("auto", "disabled"):
            raise ValueError("--resume and --tracking cannot be used here: the run is not kept")
        if self.teachers:
            raise ValueError(
                "--teachers cannot be used here, nor --preset record, which has teachers: the time "
                "to train the teachers would have to count"
            )


if __name__ == "__main__":
    options = cli.parse(TimeToQualityOptions, PRESETS)

import io
import signal
import sys
from collections.abc import Sequence
from contextlib import chdir, redirect_stdout
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm.auto import tqdm

from compare import corpus as corpora
from compare.corpus.subsets import training_subset
from compare.errors import Diverged, Interrupted, Misuse
from compare.ruler import scoring
from scratch_lm import parallel
from scratch_lm.model import ScratchLM
from scratch_lm.train import prepare_data, train

MOMENTS = (60, 120, 300)  # seconds of training


@dataclass(frozen=True)
class Reading:
    """The score of the model at one moment of the training."""

    seconds: float
    """Training time so far."""
    epochs: float
    """Passes over the training split so far; a fraction in the middle of an epoch."""
    bits_per_byte: float
    """The score on the validation split."""


def measure(options: TimeToQualityOptions) -> None:
    """Train, and print the time to --target and the scores after MOMENTS.

    Raises Misuse under torchrun with several processes, and Interrupted after a signal.
    """
    if parallel.WORLD_SIZE > 1:
        raise Misuse(
            f"{parallel.WORLD_SIZE} processes cannot share this command: start it without torchrun"
        )
    readings = train_with_readings(options)
    print(
        f"{options.preset} on validation, with learning rates that decay over all "
        f"{readings[-1].seconds:.0f} s of training:"
    )
    print(f"{options.target:.2f} bits/byte   {describe_time_to(options.target, readings)}")
    for seconds in MOMENTS:
        print(f"after {f'{seconds} s':<9} {describe_score_after(seconds, readings)}")


def train_with_readings(options: TimeToQualityOptions) -> list[Reading]:
    """Train in a temporary directory, and return the readings in order of their time.

    Raises Interrupted after a signal, and Diverged if a loss or a gradient is not finite.
    """
    shared = {field.name: getattr(options, field.name) for field in fields(ScratchOptions)}
    if Path(options.corpus).is_file():
        shared["corpus"] = str(Path(options.corpus).resolve())
    train_options = ScratchOptions(**shared | {"tracking": "disabled"})
    corpus = corpora.load(train_options.corpus)
    corpus = training_subset(corpus, train_options.train_share, train_options.leave_out)
    tokenizer, _ = prepare_data(train_options, corpus)
    readings: list[Reading] = []

    def observe(model: ScratchLM, seconds: float, epochs: float) -> None:
        score = scoring.score(model, tokenizer, corpus.validation).metrics.bits_per_byte
        readings.append(Reading(seconds, epochs, score))
        # On stderr, as all progress is.
        tqdm.write(f"{seconds:6.0f} s, epoch {epochs:.2f}: {score:.4f} bits/byte", sys.stderr)

    again = "start the command again (nothing was kept)"
    # What `train` prints is about a run directory, which is deleted here.
    with TemporaryDirectory() as folder, chdir(folder), redirect_stdout(io.StringIO()):
        try:
            train(train_options, observe)
        except Interrupted as stop:
            raise Interrupted(stop.signal_number, again) from None
        except KeyboardInterrupt:  # outside the training steps
            raise Interrupted(signal.SIGINT, again) from None
        except Diverged as error:  # its checkpoint is deleted here, too
            raise Diverged(error.reason, checkpoint=None) from None
    return readings


def describe_time_to(target: float, readings: Sequence[Reading]) -> str:
    """Say when the score was first at most `target`."""
    for reading in readings:
        if reading.bits_per_byte <= target:
            return f"after {reading.seconds:.0f} s, in epoch {reading.epochs:.2f}"
    best = min(reading.bits_per_byte for reading in readings)
    return f"not reached: the best is {best:.3f}"


def describe_score_after(seconds: float, readings: Sequence[Reading]) -> str:
    """State the last score measured within the first `seconds`."""
    last = readings[-1]
    if last.seconds < seconds:
        return f"training ended after {last.seconds:.0f} s, at {last.bits_per_byte:.3f} bits/byte"
    earlier = [reading for reading in readings if reading.seconds <= seconds]
    if not earlier:
        return f"no score yet: the first is from {readings[0].seconds:.0f} s"
    return f"{earlier[-1].bits_per_byte:.3f} bits/byte"


if __name__ == "__main__":
    cli.run(measure, options)
