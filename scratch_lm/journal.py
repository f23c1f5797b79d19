"""The output of the training loop: log lines, checkpoints, and finished epochs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

from compare.ruler.metrics import Metrics
from compare.runs.history import StepsLine
from compare.runs.record import Epoch
from compare.runs.writer import Run
from scratch_lm import parallel
from scratch_lm.checkpoint import Progress, load_checkpoint, save_checkpoint
from scratch_lm.model import ScratchLM

Observer = Callable[[ScratchLM, float, float], None]
"""Called after each log line with the model to evaluate, the seconds of training so far, and the
number of epochs so far, which may be fractional."""


class StepResult(NamedTuple):
    """What a training step reports."""

    nats: float
    """The losses of the targets that come from the text, summed."""
    targets: int
    """The number of these targets."""
    gradient_norm: float
    """The norm before clipping."""


class Journal:
    """Tracks the progress of a training run, and writes it to the run directory.

    `observe` can evaluate the model within an epoch.  Its own time does not count as training.

    In all processes but the main one, `run` ignores all calls, and no checkpoint is written.
    """

    def __init__(
        self,
        run: Run,
        model: ScratchLM,
        average: AveragedModel | None,
        optimizers: list[Optimizer],
        train_characters: int,
        train_tokens: int,
        steps_per_epoch: int,
        observe: Observer | None = None,
    ) -> None:
        self.run, self.observe = run, observe
        self.model, self.average, self.optimizers = model, average, optimizers
        self.train_characters, self.train_tokens = train_characters, train_tokens
        self.steps_per_epoch = steps_per_epoch
        self.progress = Progress()
        # Since the last log line:
        self._logged_nats, self._logged_tokens = 0.0, 0
        self._timer_start = time.perf_counter()
        self._gradient_norm = 0.0

    def restore(self) -> Progress:
        """Restore model, average and optimizers from the run's checkpoint, if it has one.

        Returns the run's progress, which the loop reads and the journal updates.  Raises Failure if
        the checkpoint is damaged.
        """
        if self._checkpoint.exists():
            self.progress = load_checkpoint(
                self._checkpoint, self.model, self.optimizers, self.average
            )
            if self.average is not None:
                self.average.n_averaged.fill_(self.progress.step)
        return self.progress

    @property
    def evaluated_model(self) -> ScratchLM:
        """The model to evaluate: the average if there is one, otherwise the model in training."""
        return self.model if self.average is None else cast(ScratchLM, self.average.module)

    def restart_timer(self) -> None:
        """Restart the timer, so that the time since the last step does not count as training."""
        self._timer_start = time.perf_counter()

    def count_step(self, result: StepResult) -> None:
        """Count one step.  Raises Diverged if its loss or its gradient is NaN or infinite."""
        self.progress.step += 1
        self.run.require_finite(f"the loss of step {self.progress.step}", result.nats)
        self.run.require_finite(f"the gradient of step {self.progress.step}", result.gradient_norm)
        self._logged_nats += result.nats
        self._logged_tokens += result.targets
        self._gradient_norm = result.gradient_norm

    def log(self, learning_rate: float, bar: tqdm) -> None:
        """Log the steps since the last log line, and add them to `progress`.

        Call it before `save_checkpoint`, which saves `progress`.  Steps without a target from the
        text, of invented names alone, have no loss, and no line in the log.
        """
        now = time.perf_counter()
        seconds, self._timer_start = now - self._timer_start, now
        nats, self._logged_nats = self._logged_nats, 0.0
        tokens, self._logged_tokens = self._logged_tokens, 0
        progress = self.progress
        progress.nats += nats
        progress.tokens += tokens
        progress.seconds += seconds
        epoch = progress.step / self.steps_per_epoch
        progress.characters_seen = round(epoch * self.train_characters)
        if not tokens:
            return
        characters = tokens / self.train_tokens * self.train_characters
        line = StepsLine(
            step=progress.step,
            epoch=epoch,
            characters_seen=progress.characters_seen,
            loss=nats / tokens,
            learning_rate=learning_rate,
            gradient_norm=self._gradient_norm,
            characters_per_second=round(characters / seconds),
            seconds=seconds,
        )
        self.run.log_steps(line, bar)
        if self.observe:
            self.observe(self.evaluated_model, self.training_seconds, epoch)
            self.restart_timer()

    def save_checkpoint(self) -> None:
        """Write the checkpoint that --resume needs; the time this takes is not training time."""
        if self.run.is_writer:
            save_checkpoint(
                self._checkpoint, self.model, self.optimizers, self.progress, self.average
            )
        self.restart_timer()

    def finish_epoch(self, validation: Metrics) -> None:
        """Add the epoch that has just ended to the run, and keep its weights if it is the best."""
        progress = self.progress
        progress.epochs += 1
        epoch = Epoch(
            epoch=progress.epochs,
            train_loss=progress.nats / progress.tokens,
            characters_seen=progress.characters_seen,
            seconds=round(progress.seconds, 3),
            eval=validation,
        )
        progress.nats, progress.tokens, progress.seconds = 0.0, 0, 0.0
        self.run.add_epoch(epoch)
        if self.run.is_writer and self.run.record.best_epoch == epoch.epoch:
            save_checkpoint(self._best_weights, self.evaluated_model, [], progress)
        self.save_checkpoint()

    def should_stop_early(self, patience: int | None) -> bool:
        """Return whether `patience` epochs have passed since the best one; never, if it is None.

        This needs only the record of the finished epochs, so a resumed run can tell that its
        training has already ended.  The main process decides for all.
        """
        if patience is None:
            return False
        scores = [epoch.eval.bits_per_byte for epoch in self.run.record.epochs]
        epochs_since_best = len(scores) - 1 - scores.index(min(scores)) if scores else 0
        return parallel.from_main_process(epochs_since_best >= patience)

    def restore_best(self) -> None:
        """Load the weights of the best epoch."""
        if self.run.is_writer:
            load_checkpoint(self._best_weights, self.model, [])

    @property
    def training_seconds(self) -> float:
        """The time spent in training steps so far, over all epochs."""
        finished = sum(epoch.seconds for epoch in self.run.record.epochs)
        return finished + self.progress.seconds

    @property
    def _checkpoint(self) -> Path:
        return self.run.checkpoint_folder / "state.safetensors"

    @property
    def _best_weights(self) -> Path:
        return self.run.checkpoint_folder / "best.safetensors"
