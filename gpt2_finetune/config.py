"""Options of the GPT-2 track.

1 epoch of the stand-in on Tiny Shakespeare = 367,413 tokens = 180 steps of 8 x 256 tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from compare.cli import StudyOptions, check


@dataclass(frozen=True)
class FinetuneOptions(StudyOptions):
    """Fine-tune GPT-2, or another causal language model, with the Trainer."""

    base: str = "auto"
    """Checkpoint to start from: a Hub name or a directory; auto is GPT-2, or where it cannot be had
    the small stand-in that ships with this package."""
    random_weights: bool = False
    """Forget the base's weights and keep its architecture and tokenizer: the control that tells
    what pretraining adds."""
    epochs: int = 3
    """Passes over the training split."""
    batch_tokens: int = 2048
    """Tokens per step, in blocks of the base's context length."""
    learning_rate: float | None = None
    """Peak learning rate of AdamW; by default 5e-5 x sqrt(124 M / parameters), or from random
    weights 0.003239 - 0.0001395 ln(parameters)."""
    weight_decay: float = 0.1
    """Weight decay of AdamW."""
    warmup: float = 0.1
    """Share of the steps with linear warm-up; then cosine decay to zero."""
    checkpoint_steps: int = 200
    """Steps between the checkpoints that --resume goes on from; one is written after each epoch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "epochs", 1, 1000)
        check(self, "batch_tokens", 2, 2**24)
        check(self, "checkpoint_steps", 1, 1_000_000)
        check(self, "weight_decay", 0, 10)
        check(self, "warmup", 0, 0.99)
        if self.learning_rate is not None:
            check(self, "learning_rate", 1e-8, 1)
        if not self.base:
            raise ValueError("--base is empty: give a Hub name, a directory, or auto")
