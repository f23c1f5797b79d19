"""A Trainer that evaluates with the same scorer as the scratch track."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import Trainer, TrainerState

from compare import files
from compare.corpus import Corpus
from compare.errors import Failure
from compare.ruler import sampling, scoring
from compare.runs.writer import Run
from gpt2_finetune.config import FinetuneOptions


class ScoringTrainer(Trainer):
    """A Trainer that evaluates with `compare.ruler.scoring` on the whole validation split.

    Trainer's own `eval_loss` is an average of batch averages: it changes with the batch size.
    Every process evaluates, since processes may each hold only a part of the weights.
    """

    def __init__(
        self, *args: Any, run: Run, corpus: Corpus, options: FinetuneOptions, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.run, self.corpus, self.options = run, corpus, options

    def autocast_smart_context_manager(self, *args: Any, **kwargs: Any) -> torch.autocast:
        # TrainingArguments.bf16 is not used, because it would also apply to evaluation.
        bf16 = self.options.precision == "bf16"
        return torch.autocast(self.args.device.type, torch.bfloat16, enabled=bf16)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        # The sum over processes is NaN in all of them if it is NaN in one: all stop together.
        total = self.accelerator.reduce(loss.detach().clone(), "sum")
        self.run.require_finite(f"the loss of step {self.state.global_step + 1}", total.item())
        return loss

    def _clip_grad_norm(self, model: torch.nn.Module) -> Any:
        norm = super()._clip_grad_norm(model)
        # Checked before the optimizer's step, so that no NaN gets into the weights.
        self.run.require_finite(f"the gradient of step {self.state.global_step + 1}", float(norm))
        return norm

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        model: Any = self.model
        tokenizer: Any = self.processing_class
        label = "validation" if self.is_world_process_zero() else None
        score = scoring.score(model, tokenizer, self.corpus.validation, label=label)
        epoch = round(self.state.epoch or 0)
        settings = sampling.Settings(
            characters=self.options.sample_characters, seed=self.options.seed
        )
        self.run.add_samples(sampling.samples(model, tokenizer, self.corpus, epoch, settings))
        metrics = {f"eval_{key}": value for key, value in asdict(score.metrics).items()}
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def restore_best(self, state: TrainerState) -> None:
        """Load the best epoch's weights into the model of a run whose training ended at `state`.

        Raises Failure if they are missing or damaged.
        """
        self.state = state
        self._load_best_model()

    def _load_best_model(self) -> None:
        assert self.state.best_model_checkpoint, "every epoch is evaluated, and one is the best"
        require_intact(Path(self.state.best_model_checkpoint))
        super()._load_best_model()

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        try:
            super()._save_checkpoint(*args, **kwargs)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise Failure(
                f"no checkpoint can be written to {self.args.output_dir}: {error}"
            ) from None
        # Checksums are computed next: wait until all processes have written their files.
        self.accelerator.wait_for_everyone()


def require_intact(best: Path) -> None:
    """Raise Failure if `best`, the checkpoint of the best epoch, is missing or damaged."""
    if not best.is_dir():
        raise Failure(
            f"the checkpoint of the best epoch, {best}, is missing: put it back, or train again "
            "without --resume"
        )
    if damaged := files.changed_files(best):
        raise Failure(
            f"the checkpoint of the best epoch, {best}, is damaged ({', '.join(damaged)}): train "
            "again without --resume"
        )
