"""Enums of the study, whose values are spelled as in files and tables, and the names of GPT-2."""

from __future__ import annotations

from enum import StrEnum


class Track(StrEnum):
    """The package that trained a model."""

    SCRATCH = "scratch_lm"
    GPT2 = "gpt2_finetune"

    @property
    def command(self) -> str:
        """The training command, without options."""
        return f"python -m {self}.train"


class RowKind(StrEnum):
    """The kind of a row in the comparison; for a run, the recipe that it was trained with."""

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


# On the Hub, which redirects the second to the first.
GPT2_NAMES = ("openai-community/gpt2", "gpt2")


class BaseKind(StrEnum):
    """The kind of model that fine-tuning started from."""

    GPT2 = "GPT-2"
    STAND_IN = "stand-in"
    OTHER = "other"


class RunStatus(StrEnum):
    """The status of a run."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


class TrackingMode(StrEnum):
    """Whether W&B receives a run at once, later by `wandb sync`, or not at all."""

    ONLINE = "online"
    OFFLINE = "offline"
    DISABLED = "disabled"


class WordClass(StrEnum):
    """Classes of words that are easy or hard to predict for different reasons."""

    SPEAKER_NAME = "speaker names"
    LINE_START = "line starts"
    COMMON = "common words"
    RARE = "rare words"
    UNSEEN = "unseen words"


class ContaminationText(StrEnum):
    """The texts that models are asked to continue."""

    TEST = "test split"
    VALIDATION = "validation split"
    SHUFFLED = "shuffled test split"
    """The lines of the test split in an order that nobody can have read."""
