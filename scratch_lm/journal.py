"""What the training loop leaves behind: log lines, checkpoints, and finished epochs."""

from __future__ import annotations

import time
from pathlib import Path

from torch import nn
from torch.optim import Optimizer
from tqdm.auto import tqdm

from compare.ruler.metrics import Metrics
from compare.runs.record import Epoch
from compare.runs.writer import Run
from scratch_lm.checkpoint import Progress, load_checkpoint, save_checkpoint


class Journal:
    """Keeps a training's `progress` up to date, and writes it to its `run`.

    In all processes but the first, `run` drops what it is told, and no checkpoint is written.
    """

    def __init__(
        self,
        run: Run,
        model: nn.Module,
        optimizers: list[Optimizer],
        characters: int,
        tokens: int,
        steps_per_epoch: int,
    ) -> None:
        """Restore `model` and `optimizers` from the run's checkpoint, if it has one.

        `characters` and `tokens` are the length of the training split.
        """
        self.run = run
        self.model, self.optimizers = model, optimizers
        self.characters, self.tokens = characters, tokens
        self.steps_per_epoch = steps_per_epoch
        self.progress = Progress()
        if self._checkpoint.exists():
            self.progress = load_checkpoint(self._checkpoint, model, optimizers)
        self._nats, self._tokens = 0.0, 0  # since the last log line, as are the seconds
        self._began = time.perf_counter()
        self._gradient_norm = 0.0

    def start_epoch(self) -> None:
        """Start the clock: the time since the last step was not spent on training."""
        self._began = time.perf_counter()

    def count_step(self, nats: float, tokens: int, gradient_norm: float) -> None:
        """Count one step.  Raises Failure if its loss is NaN or infinite."""
        self.progress.step += 1
        self.run.require_finite(nats, self.progress.step)
        self._nats += nats
        self._tokens += tokens
        self._gradient_norm = gradient_norm

    def log(self, learning_rate: float, bar: tqdm) -> None:
        """Log the steps since the last line."""
        now = time.perf_counter()
        seconds, self._began = now - self._began, now
        nats, self._nats = self._nats, 0.0
        tokens, self._tokens = self._tokens, 0
        progress = self.progress
        progress.nats += nats
        progress.tokens += tokens
        progress.seconds += seconds
        epoch = progress.step / self.steps_per_epoch
        progress.characters_seen = round(epoch * self.characters)
        characters = tokens / self.tokens * self.characters
        values = {
            "step": progress.step,
            "epoch": epoch,
            "characters_seen": progress.characters_seen,
            "train/loss": nats / tokens,
            "train/learning_rate": learning_rate,
            "train/gradient_norm": self._gradient_norm,
            "throughput/characters_per_second": round(characters / seconds),
            "throughput/seconds": seconds,
        }
        self.run.log(values, bar)

    def save_checkpoint(self) -> None:
        """Write what --resume needs."""
        if self.run.writes:
            save_checkpoint(self._checkpoint, self.model, self.optimizers, self.progress)

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
        if self.run.writes and self.run.record.best_epoch == epoch.epoch:
            save_checkpoint(self._best, self.model, [], progress)
        self.save_checkpoint()

    def restore_best(self) -> None:
        """Give the model the weights of its best epoch."""
        if self.run.writes:
            load_checkpoint(self._best, self.model, [])

    @property
    def _checkpoint(self) -> Path:
        return self.run.checkpoint / "state.safetensors"

    @property
    def _best(self) -> Path:
        return self.run.checkpoint / "best.safetensors"
