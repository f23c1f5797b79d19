"""Options, presets and the parameter limit of the scratch track.

1 epoch of `course` = 1,003,854 characters = 307,607 tokens = 601 steps of 4 x 128 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from compare.cli import LARGEST_SEED, StudyOptions, check
from compare.course import PARAMETER_LIMIT
from compare.teachers import OWN_TEACHERS, own_teacher_seeds

TUNED: dict[str, Any] = {
    "vocabulary": 1024,
    "layers": 4,
    "feed_forward": 512,
    "distance_bias": True,
    "smeared_keys": True,
    "convolutions": True,
    "query_key_norm": True,
    "embedding_skips": True,
    "averaging": 0.998,
    "drills": True,
    "rename": 0.2,
    "context_length": 256,
    "init_std": 0.05,
    "batch_size": 4,
    "optimizer": "muon",
    "learning_rate": 3e-3,
    "muon_learning_rate": 0.03,
}
PRESETS: dict[str, dict[str, Any]] = {
    "course": {},  # the defaults below are the course's specification
    "tuned": TUNED,
    # For measuring the effect of the copying exercises.
    "tuned-no-drills": TUNED | {"drills": False, "rename": 0.0},
    "record": TUNED | {"epochs": 20, "dropout": 0.1, "teachers": ["own"]},
}


@dataclass(frozen=True)
class ScratchOptions(StudyOptions):
    """Train a decoder-only language model from scratch."""

    preset: Literal["course", "tuned", "tuned-no-drills", "record"] = "course"
    """Set of default values: the course's specification (course), or the best recipe found for 10
    minutes (tuned) or half an hour (record, not counting its teachers) of training on 2 cores.
    tuned-no-drills is tuned without the copying exercises (--drills, --rename).  With --help, the
    defaults shown are those of the preset given."""
    vocabulary: int = 4096
    """Vocabulary size of the byte-level BPE tokenizer, trained on the training split."""
    context_length: int = 128
    """Context length of the model in tokens."""
    layers: int = 2
    """Decoder layers."""
    heads: int = 4
    """Attention heads; must divide the width."""
    width: int = 128
    """Width of embeddings and layers."""
    feed_forward: int = 256
    """Inner width of the feed-forward layers."""
    distance_bias: bool = False
    """Learn an additive attention bias for every layer, head and distance between tokens."""
    smeared_keys: bool = False
    """Mix each token's attention key with that of the previous token, in a proportion that is
    learned for every layer and head."""
    convolutions: bool = False
    """Add short causal depthwise convolutions, over four tokens, after the embeddings and before
    every attention and feed-forward layer."""
    query_key_norm: bool = False
    """Normalize queries and keys to unit length, and scale their products by a factor that is
    learned for every layer and head."""
    embedding_skips: bool = False
    """Mix the embeddings into the input of every layer, in a proportion that is learned."""
    dropout: float = 0.0
    """Dropout rate of the embeddings and of each layer's residual updates, between 0 and 0.9."""
    init_std: float = 0.02
    """Standard deviation of the layers' initial weights; 0.02 in GPT-2."""
    epochs: int = 5
    """Passes over the training split; an upper limit if --patience is given."""
    patience: int | None = None
    """Stop after this many epochs without a better validation score; by default, never.  The
    learning rate decays over all --epochs, even if the run stops earlier."""
    batch_size: int = 4
    """Blocks of context-length tokens per step."""
    drills: bool = False
    """Train copying on rows of repeating random tokens: first in 200 steps on such rows alone, with
    their own warm-up, then with one such row in every third step on the text."""
    rename: float = 0.0
    """Probability that the speakers in a block get invented names, which differ between blocks."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """adamw for all parameters, or muon for the layers' weight matrices and adamw for the rest."""
    learning_rate: float = 3e-4
    """Peak learning rate of AdamW."""
    muon_learning_rate: float = 0.02
    """Peak learning rate of Muon."""
    averaging: float = 0.0
    """Evaluate and save an exponential moving average of the weights instead of the weights
    themselves.  This is the decay of the average, which is lower in the first steps; 0 turns
    averaging off."""
    warmup_steps: int = 100
    """Steps of linear warm-up, followed by cosine decay to 0.05 of the peak.  The steps that
    --drills adds before the text follow the beginning of this schedule; it then restarts for the
    text."""
    teachers: list[str] = field(default_factory=list)
    """Teachers for knowledge distillation: complete runs of this track on the same text, given as
    directories or as names.  A name stands for the newest complete run of that name.  `own` stands
    for three runs of --preset tuned that no other seed learns from: with --seed s, those with the
    seeds 3 s - 2, 3 s - 1 and 3 s.  By default, only record has teachers; without a value, there
    are none."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of matrix products; bf16 is for GPUs, and was not faster on the tested CPUs."""
    compile: bool = False
    """Compile the model with torch.compile; on a CPU this needs a C++ compiler."""
    checkpoint_steps: int = 500
    """Steps between checkpoints for --resume."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "vocabulary", 257, 65_536)
        check(self, "context_length", 2, 65_536)
        for name in ("layers", "heads", "width", "feed_forward", "batch_size", "epochs"):
            check(self, name, 1, 1_000_000)
        if self.patience is not None:
            check(self, "patience", 1, 1_000_000)
        check(self, "checkpoint_steps", 1, 1_000_000)
        check(self, "warmup_steps", 0, 1_000_000)
        check(self, "dropout", 0, 0.9)
        check(self, "averaging", 0, 0.99999)
        check(self, "rename", 0, 1)
        check(self, "init_std", 1e-6, 1)
        if "own" in self.teachers and not 1 <= self.seed <= LARGEST_SEED // OWN_TEACHERS:
            raise ValueError(
                f"--seed is {self.seed}: --teachers own uses seeds up to {OWN_TEACHERS} times as "
                f"large, so it must be between 1 and {LARGEST_SEED // OWN_TEACHERS:,}"
            )
        check(self, "learning_rate", 1e-8, 1)
        check(self, "muon_learning_rate", 1e-8, 1)
        if self.width % self.heads:
            raise ValueError(f"--heads {self.heads} does not divide --width {self.width}")
        if self.teachers and (self.train_share < 1 or self.leave_out):
            raise ValueError(
                "--preset record and --teachers need the whole training split: remove "
                "--train-share and --leave-out"
            )
        if self.parameters >= PARAMETER_LIMIT:
            raise ValueError(
                f"{self.parameters:,} parameters ({self.embedding_parameters:,} of them in "
                f"embeddings) exceed the limit of {PARAMETER_LIMIT - 1:,}: lower --vocabulary, "
                "--layers, --width or --feed-forward"
            )

    @property
    def teacher_names(self) -> list[str]:
        """The values of --teachers, with `own` replaced by the names it stands for."""
        return expand_teachers(self.teachers, self.seed)

    @property
    def embedding_parameters(self) -> int:
        """Number of parameters in token embeddings (tied to the output layer) and positions."""
        return (self.vocabulary + self.context_length) * self.width

    @property
    def parameters(self) -> int:
        """Number of trainable parameters, computed without building the model."""
        width, inside = self.width, self.feed_forward
        norm = 2 * width
        attention = 4 * width * (width + 1)
        feed_forward = 2 * width * inside + inside + width
        distances = self.heads * self.context_length if self.distance_bias else 0
        convolution = 4 * width if self.convolutions else 0
        smear = self.heads if self.smeared_keys else 0
        sharpness = self.heads if self.query_key_norm else 0
        skip = 2 if self.embedding_skips else 0
        layer = (
            attention
            + feed_forward
            + 2 * (norm + convolution)
            + distances
            + smear
            + sharpness
            + skip
        )
        return self.embedding_parameters + convolution + self.layers * layer + norm


def expand_teachers(teachers: Sequence[str], seed: int) -> list[str]:
    """Return `teachers` with `own` replaced by the names that it stands for with this `seed`."""
    own = [f"tuned-seed{number}" for number in own_teacher_seeds(seed)]
    return [name for teacher in teachers for name in (own if teacher == "own" else [teacher])]
