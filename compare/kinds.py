"""The kinds of things that the study tells apart, each spelled as it is in files and tables."""

from __future__ import annotations

from enum import StrEnum


class Track(StrEnum):
    """Who has trained a model."""

    SCRATCH = "scratch_lm"
    GPT2 = "gpt2_finetune"

    @property
    def command(self) -> str:
        """The command that trains."""
        return f"python -m {self}.train"


class RowKind(StrEnum):
    """What a row of the comparison is, and which recipe a run was trained by."""

    COURSE = "course"
    TUNED = "tuned"
    RECORD = "record"
    TUNED_NO_DRILLS = "tuned-no-drills"
    FINE_TUNED = "fine-tuned"
    LORA = "LoRA fine-tuned"
    RANDOM_WEIGHTS = "from random weights"
    ZERO_SHOT = "zero-shot"
    N_GRAM = "n-gram"
    ADAPTIVE = "adaptive"
    UNIFORM = "uniform"


class BaseKind(StrEnum):
    """What fine-tuning started from."""

    GPT2 = "GPT-2"
    STAND_IN = "stand-in"
    OTHER = "other"


class RunStatus(StrEnum):
    """How far a run has come."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
