"""What the training loop reports: sums between two log lines, log lines, and finished epochs."""

from __future__ import annotations

from tqdm.auto import tqdm

from compare.ruler.metrics import Metrics
from compare.runs.record import Epoch
from compare.runs.writer import Run
from scratch_lm.checkpoint import Progress
from scratch_lm.meter import Meter


class Journal:
    """Keeps a training's `progress` up to date, and tells its `run` about it."""

    def __init__(
        self, run: Run, progress: Progress, characters: int, tokens: int, steps_per_epoch: int
    ) -> None:
        """`characters` and `tokens` are those of the training split."""
        self.run, self.progress = run, progress
        self.characters, self.tokens = characters, tokens
        self.steps_per_epoch = steps_per_epoch
        self._meter = Meter()
        self._gradient_norm = 0.0

    def start_epoch(self) -> None:
        """Start the clock: what came between two epochs was not training."""
        self._meter = Meter()

    def count_step(self, nats: float, tokens: int, gradient_norm: float) -> None:
        """Count one step.  Raises Failure when its loss is NaN or infinite."""
        self.progress.step += 1
        self.run.require_finite(nats, self.progress.step)
        self._meter.add(nats, tokens)
        self._gradient_norm = gradient_norm

    def log(self, learning_rate: float, bar: tqdm) -> None:
        """Log the steps since the last line."""
        nats, tokens, seconds = self._meter.read()
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
        }
        self.run.log(values, bar)

    def finish_epoch(self, validation: Metrics) -> None:
        """Add the epoch that has just ended to the run, and begin the sums of the next one."""
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
