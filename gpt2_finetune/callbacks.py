"""Trainer callbacks: crash-safe checkpoints, and the run record."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerState

from compare import files
from compare.corpus import Corpus
from compare.files import CHECKSUMS
from compare.ruler.metrics import Metrics
from compare.runs.history import StepsLine
from compare.runs.record import Epoch
from compare.runs.writer import Run
from compare.signals import Interruption
from gpt2_finetune.config import FinetuneOptions


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest intact checkpoint in `folder`, or None; report damaged ones on stderr."""

    def step(path: Path) -> int:
        return int(path.parent.name.removeprefix("checkpoint-"))

    for path in sorted(folder.glob(f"checkpoint-*/{CHECKSUMS}"), key=step, reverse=True):
        damaged = files.changed_files(path.parent)
        if not damaged:
            return path.parent
        print(f"{path.parent} is damaged ({', '.join(damaged)}): skipping it", file=sys.stderr)
    return None


def should_stop_early(
    state: TrainerState, options: FinetuneOptions, before_training: Metrics | None
) -> bool:
    """Return whether `options.patience` epochs have passed since the best one.

    The model `before_training` counts as epoch 0; its score is None if it is not known.

    transformers' EarlyStoppingCallback counts evaluations in memory.  This function needs only the
    saved state, so a resumed run can tell that its training has already ended.
    """
    best_step = state.best_global_step or state.global_step
    if start_is_best(before_training, state):
        best_step = 0
    steps_since_best = state.global_step - best_step
    patience_steps = options.patience * state.max_steps // options.epochs
    return steps_since_best > 0 and steps_since_best >= patience_steps


def start_is_best(before_training: Metrics | None, state: TrainerState) -> bool:
    """Return whether no epoch so far is better on validation than the model `before_training`."""
    if before_training is None or state.best_metric is None:
        return False
    return before_training.bits_per_byte <= state.best_metric


class CheckpointCallback(TrainerCallback):
    """Saves checkpoints within an epoch, and stops training early.  Runs in every process.

    Checkpoints are written every `checkpoint_steps` steps and after a signal.  At the end of each
    epoch, the Trainer itself writes one.
    """

    def __init__(self, run: Run, options: FinetuneOptions) -> None:
        self.run, self.options = run, options
        self.interruption = Interruption()
        self.stop_signal = 0  # received by any process; 0 if none

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.stop_signal = self.interruption.signal_of_any_process()
        step_in_epoch = state.global_step % (state.max_steps // args.num_train_epochs)
        is_due = self.stop_signal or state.global_step % self.options.checkpoint_steps == 0
        if is_due and step_in_epoch:  # at the end of an epoch, the Trainer saves after evaluating
            control.should_log = control.should_save = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_log = True  # otherwise the epoch's mean loss would lack its last steps

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            folder = self.run.checkpoint_folder / f"checkpoint-{state.global_step}"
            files.write_checksums(folder)  # last, since this marks the checkpoint as complete
        # Asked again, because an epoch's evaluation comes between its last step and its checkpoint.
        self.stop_signal = self.interruption.signal_of_any_process()
        if self.stop_signal:
            raise self.run.interrupted(self.stop_signal)
        if should_stop_early(state, self.options, self.run.record.zero_shot):
            control.should_training_stop = True


class RecordCallback(TrainerCallback):
    """Logs steps and epochs in the same way as the scratch track.  Runs in the main process."""

    def __init__(self, run: Run, corpus: Corpus) -> None:
        self.run, self.corpus = run, corpus
        self.last_step, self.last_time = 0, 0.0
        self.bar = tqdm(disable=True)  # replaced in each epoch

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.last_step, self.last_time = state.global_step, time.perf_counter()
        steps_per_epoch = state.max_steps // args.num_train_epochs
        finished_epochs, step_in_epoch = divmod(state.global_step, steps_per_epoch)
        self.bar = tqdm(
            total=steps_per_epoch,
            desc=f"epoch {finished_epochs + 1}/{args.num_train_epochs}",
            initial=step_in_epoch,
            disable=None,
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.update()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" not in logs:
            return
        now, steps = time.perf_counter(), state.global_step - self.last_step
        characters = steps / state.max_steps * args.num_train_epochs * len(self.corpus.train)
        seconds = now - self.last_time
        line = StepsLine(
            step=state.global_step,
            epoch=state.epoch,
            characters_seen=self.characters(state.epoch),
            loss=logs["loss"],
            learning_rate=logs["learning_rate"],
            gradient_norm=float(logs["grad_norm"]),
            characters_per_second=round(characters / seconds),
            seconds=seconds,
        )
        self.run.log_steps(line, self.bar)
        self.last_step, self.last_time = state.global_step, now

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.last_time = time.perf_counter()  # writing a checkpoint is not training

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any
    ) -> None:
        self.bar.close()
        epoch = round(state.epoch)
        train_loss, seconds = self.training_loss_and_seconds(epoch)
        scores = {key.removeprefix("eval_"): value for key, value in metrics.items()}
        self.run.add_epoch(
            Epoch(
                epoch=epoch,
                train_loss=train_loss,
                characters_seen=self.characters(epoch),
                seconds=round(seconds, 3),
                eval=Metrics(**scores),
            )
        )

    def training_loss_and_seconds(self, epoch: int) -> tuple[float, float]:
        """Return the mean loss (nats per token) and the duration (seconds) of an epoch's steps.

        They are computed from the log lines, which survive an interruption within the epoch.
        """
        loss, steps, seconds, last_step = 0.0, 0, 0.0, 0
        for line in self.run.history:
            if not isinstance(line, StepsLine):
                continue
            if epoch - 1 < line.epoch <= epoch:
                loss += line.loss * (line.step - last_step)
                steps += line.step - last_step
                seconds += line.seconds or 0.0
            last_step = line.step
        return loss / steps, seconds

    def characters(self, epochs: float) -> int:
        """Return the number of characters of the training split read after `epochs` epochs."""
        return round(epochs * len(self.corpus.train))
