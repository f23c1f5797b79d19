"""Write a run directory; `compare.runs.find` reads it once it is complete.

    run.json        options, text and scores of the run (see `compare.runs.record`)
    history.jsonl   losses and scores, the source of truth for curves (see `compare.runs.history`)
    samples.jsonl   text generated after each epoch
    model/          model and tokenizer, for `from_pretrained`
    checkpoint/     the state that --resume needs; removed when the run is complete

The status of a run is "running" until `finish` sets it to "complete", or "failed" if a loss or a
gradient is not finite.
"""

from __future__ import annotations

import math
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from tqdm.auto import tqdm

from compare import files
from compare.cli import StudyOptions, resume_command
from compare.errors import Diverged, Failure, Interrupted
from compare.kinds import RunStatus
from compare.peak_memory import peak_memory_mb
from compare.ruler.metrics import Metrics
from compare.ruler.sampling import Sample
from compare.runs import history
from compare.runs.history import EvaluationLine, HistoryLine, StepsLine
from compare.runs.latest import point_latest_at
from compare.runs.record import Epoch, RunRecord, write_record
from compare.runs.tracking import NoTracker, Tracker

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ROOT = Path("runs")


class Run:
    """A run directory that is being written, and W&B's copy of it.

    Only the main process writes.  In all others `is_writer` is False and calls are ignored, so that
    a training loop does not have to check which process it runs in.
    """

    def __init__(
        self,
        path: Path,
        record: RunRecord,
        lock: FileLock | None = None,
        resumed: bool = False,
        is_writer: bool = True,
    ) -> None:
        self.path, self.record = path, record
        self.resumed, self.is_writer = resumed, is_writer
        self.history = history.read_history(path)
        self.tracker: Tracker | NoTracker = NoTracker()
        self._lock = lock
        self._began = time.perf_counter() - record.wall_seconds

    @property
    def checkpoint_folder(self) -> Path:
        """The directory of the checkpoints that --resume needs."""
        return self.path / "checkpoint"

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to do."""
        return self.record.status is RunStatus.COMPLETE

    @property
    def start_mode(self) -> str:
        """Whether the run is new, resumed or already complete, for the start-up message."""
        return "complete" if self.complete else "resumed" if self.resumed else "new"

    def rewind(self, characters_seen: int, epochs: int) -> None:
        """Discard everything that was logged after the checkpoint to resume from.

        The checkpoint was written at `characters_seen`, after `epochs` whole epochs.  A negative
        `characters_seen` discards the whole history: there is no checkpoint.
        """
        if not self.is_writer:
            return
        self.history = [
            line
            for line in self.history
            if line.characters_seen <= characters_seen
            and (isinstance(line, StepsLine) or line.epoch <= epochs)
        ]
        samples = [each for each in history.read_samples(self.path) if each.epoch <= epochs]
        history.replace(self.path / history.HISTORY, self.history)
        history.replace(self.path / history.SAMPLES, samples)
        self.record.epochs = self.record.epochs[:epochs]

    def start_tracking(self, options: StudyOptions) -> None:
        """Log to W&B from now on, in the mode `options.tracking`."""
        if self.is_writer:
            samples = history.read_samples(self.path)
            self.tracker = Tracker(
                self.path, self.record, self.save, options, self.history, samples
            )

    def _log(self, line: HistoryLine) -> None:
        """Add a line to the history, and log the same values to W&B."""
        self.history.append(line)
        history.append(self.path / history.HISTORY, line)
        self.tracker.log(line)

    def log_steps(self, line: StepsLine, bar: tqdm) -> None:
        """Log what the last steps have done, and show it next to `bar`.

        It is printed if stderr is not a terminal.
        """
        if not self.is_writer:
            return
        self._log(line)
        shown = f"loss {line.loss:.3f}, {line.characters_per_second:,} chars/s"
        bar.set_postfix_str(shown)
        if bar.disable:
            print(f"epoch {line.epoch:.2f}, step {line.step}: {shown}", flush=True)

    def log_zero_shot(self, scores: Metrics) -> None:
        """Record the validation metrics before training: of the base, or of random weights."""
        if not self.is_writer:
            return
        print(f"before training: {scores.bits_per_byte:.4f} bits/byte")
        self.record.zero_shot = scores
        self._log(EvaluationLine.of(0, 0, scores))
        self.save()  # a run that is resumed from a checkpoint does not compute it again

    def add_samples(self, samples: list[Sample]) -> None:
        """Add samples to the run, and log a table of all samples so far to W&B."""
        if not self.is_writer:
            return
        for sample in samples:
            history.append(self.path / history.SAMPLES, sample)
        self.tracker.log_samples(history.read_samples(self.path))

    def add_epoch(self, epoch: Epoch) -> None:
        """Add a finished epoch: its losses to the record, its evaluation to the history."""
        if not self.is_writer:
            return
        self.record.epochs.append(epoch)
        self._log(EvaluationLine.of(epoch.epoch, epoch.characters_seen, epoch.eval))
        best = min(self.record.epochs, key=lambda candidate: candidate.eval.bits_per_byte)
        self.record.best_epoch = best.epoch
        self.save()
        tqdm.write(
            f"epoch {epoch.epoch}: train loss {epoch.train_loss:.4f}, validation loss "
            f"{epoch.eval.loss:.4f} nats/token = {epoch.eval.bits_per_byte:.4f} bits/byte"
        )

    def save_model(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        weights: dict[str, Tensor] | None = None,
    ) -> None:
        """Write `model/` with `save_pretrained`; it is never left incomplete.

        Pass `weights` if the model's own parameters are sharded (FSDP).  Raises Failure if the
        files cannot be written.
        """
        if not self.is_writer:
            return
        from transformers.utils import logging

        logging.disable_progress_bar()  # the bar would disappear at once
        try:
            new = files.new_folder(self.path / "model")
            model.save_pretrained(new, state_dict=weights)
            tokenizer.save_pretrained(new)
            for weight_file in new.glob("*.safetensors"):  # written readable by the owner alone
                shutil.copymode(new / "config.json", weight_file)
            files.replace_folder(new, self.path / "model")
        except Exception as error:  # libraries define their own types, even for a full disk
            raise Failure(f"the model cannot be written to {self.path}: {error}") from None
        self.record.model_sha256 = files.checksums(self.path / "model")

    def save(self) -> None:
        """Write `run.json`, with the wall time and the peak memory so far."""
        if not self.is_writer:
            return
        self.record.wall_seconds = round(time.perf_counter() - self._began, 1)
        self.record.peak_memory_mb = max(peak_memory_mb(), self.record.peak_memory_mb)
        write_record(self.path, self.record)

    def require_finite(self, what: str, value: float) -> None:
        """Check that `value` is neither NaN nor infinite; `what` describes it.

        Otherwise, mark the run as failed and raise Diverged.
        """
        if math.isfinite(value):
            return
        reason = f"{what} is {value}"
        self.record.status, self.record.failure = RunStatus.FAILED, reason
        self.save()
        self.tracker.flush()
        has_checkpoint = any(self.checkpoint_folder.glob("*"))
        raise Diverged(reason, self.checkpoint_folder if has_checkpoint else None)

    def interrupted(self, signal_number: int) -> Interrupted:
        """Save the record, and return the exception that ends this run for now.

        The exception names the command to resume the run.
        """
        self.save()
        self.tracker.flush()
        return Interrupted(signal_number, resume_command(self.record.command))

    def finish(self) -> None:
        """Mark the run as complete, delete the checkpoint and point `latest` to the run."""
        if not self.is_writer:
            return
        training_seconds = sum(epoch.seconds for epoch in self.record.epochs)
        characters = self.record.epochs[-1].characters_seen
        self.record.characters_per_second = round(characters / training_seconds)
        self.record.trainer_loaded = "transformers.trainer" in sys.modules
        self.tracker.finish(self.path / "model", self.history, history.read_samples(self.path))
        if not self.record.is_partial:  # `latest` is the run to compare and hand in
            point_latest_at(self.path)
        # Set after everything else, so that a run that is killed earlier can be resumed.
        self.record.status = RunStatus.COMPLETE
        self.save()
        shutil.rmtree(self.checkpoint_folder, ignore_errors=True)
        self.release()
        self._print_summary()

    def release(self) -> None:
        """Release the lock: other processes may now write to this run."""
        if self._lock:
            self._lock.release()

    def _print_summary(self) -> None:
        """Print the losses of each epoch, and the next command."""
        print("epoch  train loss  validation loss  bits/byte  (losses in nats/token)")
        for epoch in self.record.epochs:
            mark = " best" if epoch.epoch == self.record.best_epoch else ""
            print(
                f"{epoch.epoch:5}  {epoch.train_loss:10.4f}  {epoch.eval.loss:15.4f}  "
                f"{epoch.eval.bits_per_byte:9.4f}{mark}"
            )
        print(f"model: {self.path / 'model'}    next: python -m compare.report")
