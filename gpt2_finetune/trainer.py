"""The Trainer, told to use the study's ruler and to leave the study's records."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tqdm.auto import tqdm
from transformers import Trainer, TrainerCallback

from compare import checksums, sampling, scoring
from compare.cli import Failure
from compare.corpus import Corpus, write_atomically
from compare.interruption import Interrupted, Interruption
from compare.runs import Run

CHECKSUMS = "sha256.json"


def newest_checkpoint(folder: Path) -> Path | None:
    """The Trainer's newest checkpoint that is whole; damaged ones are named on stderr."""

    def step(path: Path) -> int:
        return int(path.parent.name.removeprefix("checkpoint-"))

    for path in sorted(folder.glob(f"checkpoint-*/{CHECKSUMS}"), key=step, reverse=True):
        try:
            bad = checksums.damaged(path.parent, json.loads(path.read_text("utf-8")))
        except ValueError:
            bad = [CHECKSUMS]
        if not bad:
            return path.parent
        print(f"{path.parent} is damaged ({', '.join(bad)}): left out", file=sys.stderr)
    return None


class ScoringTrainer(Trainer):
    """A Trainer whose evaluation is `compare.scoring` of the whole validation split.

    Trainer's own `eval_loss` is an average of batch averages: it changes with the batch size.
    """

    def __init__(self, *args: Any, run: Run, corpus: Corpus, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.run, self.corpus = run, corpus

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        self.run.require_finite(loss.item(), self.state.global_step + 1)
        return loss

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        try:
            super()._save_checkpoint(*args, **kwargs)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise Failure(
                f"no checkpoint can be written to {self.args.output_dir}: {error}"
            ) from None

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        score = scoring.score(
            self.model, self.processing_class, self.corpus.validation, label="validation"
        )
        metrics = {f"eval_{key}": value for key, value in score.summary().items()}
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


class RecordCallback(TrainerCallback):
    """Trainer's events, written down as the scratch track writes its own.

    It also has checkpoints written within an epoch, every `checkpoint_steps` and when the training
    is asked to end; after each whole epoch the Trainer writes one by itself.
    """

    def __init__(
        self, run: Run, corpus: Corpus, tokenizer: Any, seed: int, checkpoint_steps: int
    ) -> None:
        self.run, self.corpus, self.tokenizer, self.seed = run, corpus, tokenizer, seed
        self.checkpoint_steps = checkpoint_steps
        self.interruption = Interruption()
        self.last_step, self.last_time = 0, 0.0
        self.bar: tqdm | None = None

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.last_step, self.last_time = state.global_step, time.perf_counter()
        per_epoch = state.max_steps // args.num_train_epochs
        done, within = divmod(state.global_step, per_epoch)
        self.bar = tqdm(total=per_epoch, desc=f"epoch {done + 1}/{args.num_train_epochs}",
                        initial=within, disable=None)  # fmt: skip

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.update()
        within = state.global_step % (state.max_steps // args.num_train_epochs)
        due = self.interruption.signal or state.global_step % self.checkpoint_steps == 0
        if due and within:  # at an epoch's end, only with its evaluation
            control.should_log = control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = self.run.checkpoint / f"checkpoint-{state.global_step}"
        sums = json.dumps(checksums.sha256(folder))
        write_atomically(folder / CHECKSUMS, sums.encode())  # the last file: now it is whole
        if self.interruption.signal:
            raise Interrupted(self.interruption.signal, self.run.record["command"])

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_log = True  # so that no step is left out of the epoch's mean

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" not in logs:
            return
        now, steps = time.perf_counter(), state.global_step - self.last_step
        characters = steps / state.max_steps * args.num_train_epochs * len(self.corpus.train)
        self.run.log(
            {
                "step": state.global_step,
                "epoch": state.epoch,
                "characters_seen": self.characters(state.epoch),
                "train/loss": logs["loss"],
                "train/learning_rate": logs["learning_rate"],
                "train/gradient_norm": float(logs["grad_norm"]),
                "throughput/characters_per_second": round(characters / (now - self.last_time)),
            },
            self.bar,
        )
        self.last_step, self.last_time = state.global_step, now

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, model: Any = None, **_: Any
    ) -> None:
        self.bar.close()
        epoch = round(state.epoch)
        train_loss, seconds = self.trained(epoch)
        scores = {key.removeprefix("eval_"): value for key, value in metrics.items()}
        written = sampling.samples(model, self.tokenizer, self.corpus, epoch, self.seed)
        self.run.add_samples(written)
        self.run.add_epoch(
            {
                "epoch": epoch,
                "train_loss": train_loss,
                "eval": scores,
                "characters_seen": self.characters(epoch),
                "seconds": round(seconds, 1),
            }
        )

    def trained(self, epoch: int) -> tuple[float, float]:
        """Mean loss of an epoch's steps, and the seconds they took, from the lines logged of it."""
        lines = [line for line in self.run.history if "train/loss" in line]
        before = [{"step": 0, "characters_seen": 0}, *lines]
        loss, steps, seconds = 0.0, 0, 0.0
        for line, last in zip(lines, before, strict=False):
            if epoch - 1 < line["epoch"] <= epoch:
                characters = line["characters_seen"] - last["characters_seen"]
                loss += line["train/loss"] * (line["step"] - last["step"])
                steps += line["step"] - last["step"]
                seconds += characters / line["throughput/characters_per_second"]
        return loss / steps, seconds

    def characters(self, epochs: float) -> int:
        """Characters of the training split read after so many epochs."""
        return round(epochs * len(self.corpus.train))
