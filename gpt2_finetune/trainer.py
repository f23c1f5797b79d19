"""The Trainer, told to use the study's ruler and to leave the study's records."""

from __future__ import annotations

import time
from typing import Any

from tqdm.auto import tqdm
from transformers import Trainer, TrainerCallback

from compare import sampling, scoring
from compare.corpus import Corpus
from compare.runs import Run


class ScoringTrainer(Trainer):
    """A Trainer whose evaluation is `compare.scoring` of the whole validation split.

    Trainer's own `eval_loss` is an average of batch averages: it changes with the batch size.
    """

    def __init__(self, *args: Any, corpus: Corpus, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.corpus = corpus

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
    """Trainer's events, written down as the scratch track writes its own."""

    def __init__(self, run: Run, corpus: Corpus, tokenizer: Any, seed: int) -> None:
        self.run, self.corpus, self.tokenizer, self.seed = run, corpus, tokenizer, seed
        self.last_step, self.last_time, self.epoch_began = 0, 0.0, 0.0
        self.nats_per_step: list[float] = []
        self.bar: tqdm | None = None

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.epoch_began = self.last_time = time.perf_counter()
        self.last_step = state.global_step
        self.nats_per_step = []
        epoch, epochs = round(state.epoch) + 1, args.num_train_epochs
        self.bar = tqdm(
            total=state.max_steps // epochs, desc=f"epoch {epoch}/{epochs}", disable=None
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.update()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_log = True  # so that no step is left out of the epoch's mean

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" not in logs:
            return
        now, steps = time.perf_counter(), state.global_step - self.last_step
        seen = self.characters(state.epoch)
        characters = steps / state.max_steps * args.num_train_epochs * len(self.corpus.train)
        self.nats_per_step += [logs["loss"]] * steps
        self.run.log(
            {
                "step": state.global_step,
                "epoch": state.epoch,
                "characters_seen": seen,
                "train/loss": logs["loss"],
                "train/learning_rate": logs["learning_rate"],
                "throughput/characters_per_second": round(characters / (now - self.last_time)),
            },
            self.bar,
        )
        self.last_step, self.last_time = state.global_step, now

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, model: Any = None, **_: Any
    ) -> None:
        self.bar.close()
        seconds = self.last_time - self.epoch_began  # training only: the last log ended it
        epoch = round(state.epoch)
        scores = {key.removeprefix("eval_"): value for key, value in metrics.items()}
        train_loss = sum(self.nats_per_step) / len(self.nats_per_step)
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

    def characters(self, epochs: float) -> int:
        """Characters of the training split read after so many epochs."""
        return round(epochs * len(self.corpus.train))
