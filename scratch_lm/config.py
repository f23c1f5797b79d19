"""Options of the scratch track, its presets, and the parameter budget.

1 epoch of `course` = 1,003,854 characters = 307,607 tokens = 601 steps of 4 x 128 tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from compare.cli import StudyOptions, check
from compare.course import PARAMETER_LIMIT

TUNED: dict[str, int | float | str | bool] = {
    "vocabulary": 1024,
    "layers": 4,
    "feed_forward": 512,
    "distance_bias": True,
    "smeared_keys": True,
    "drills": True,
    "rename": 0.2,
    "context_length": 256,
    "init_std": 0.05,
    "batch_size": 4,
    "optimizer": "muon",
    "learning_rate": 3e-3,
    "muon_learning_rate": 0.03,
}
PRESETS: dict[str, dict[str, int | float | str | bool | list[str]]] = {
    "course": {},  # the defaults below are the course's table
    "tuned": TUNED,
    "record": TUNED
    | {"epochs": 20, "dropout": 0.1, "teachers": ["tuned-seed1", "tuned-seed2", "tuned-seed3"]},
}


@dataclass(frozen=True)
class ScratchOptions(StudyOptions):
    """Train a decoder-only language model from scratch."""

    preset: Literal["course", "tuned", "record"] = "course"
    """Defaults: the course's table, or the best found for 5 or for 45 minutes on 2 cores."""
    vocabulary: int = 4096
    """Tokens of the byte-level BPE tokenizer, trained on the training split."""
    context_length: int = 128
    """Tokens that the model sees at once."""
    layers: int = 2
    """Decoder layers."""
    heads: int = 4
    """Attention heads; must divide the width."""
    width: int = 128
    """Width of embeddings and layers."""
    feed_forward: int = 256
    """Width of the feed-forward layers' inside."""
    distance_bias: bool = False
    """Let each head of each layer learn how much it looks at a token by its distance."""
    smeared_keys: bool = False
    """Let each head of each layer see in a token's key the token before it, too."""
    dropout: float = 0.0
    """Dropout of embeddings and of what each layer adds."""
    init_std: float = 0.02
    """Standard deviation of the layers' initial weights; GPT-2's is 0.02."""
    epochs: int = 5
    """Passes over the training split."""
    batch_size: int = 4
    """Blocks of context-length tokens per step."""
    drills: bool = False
    """Learn copying from rows of random tokens that repeat: 200 steps of nothing else before the
    text, with a warm-up of their own, then one such row at every third step of the text."""
    rename: float = 0.0
    """Share of the blocks whose speakers get invented names, in each block others."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """adamw for all, or muon for the layers' matrices and adamw for the rest."""
    learning_rate: float = 3e-4
    """Peak learning rate of AdamW."""
    muon_learning_rate: float = 0.02
    """Peak learning rate of Muon."""
    warmup_steps: int = 100
    """Steps of linear warm-up; then cosine decay to 0.05 of the peak.  With --drills, the steps
    before the text go through the beginning of this, warm-up included, and the text starts anew."""
    teachers: list[str] = field(default_factory=list)
    """Runs of this track on the same text, whose models' predictions this one learns too: names,
    of which the newest complete run is meant, or directories."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of matrix products; bf16 is for GPUs, and no faster on the CPUs tried."""
    compile: bool = False
    """Compile the model with torch.compile, which needs a C++ compiler on a CPU."""
    checkpoint_steps: int = 500
    """Steps between the checkpoints that --resume goes on from."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "vocabulary", 257, 65_536)
        check(self, "context_length", 2, 65_536)
        for name in ("layers", "heads", "width", "feed_forward", "batch_size", "epochs"):
            check(self, name, 1, 1_000_000)
        check(self, "checkpoint_steps", 1, 1_000_000)
        check(self, "warmup_steps", 0, 1_000_000)
        check(self, "dropout", 0, 0.9)
        check(self, "rename", 0, 1)
        check(self, "init_std", 1e-6, 1)
        check(self, "learning_rate", 1e-8, 1)
        check(self, "muon_learning_rate", 1e-8, 1)
        if self.width % self.heads:
            raise ValueError(f"--heads {self.heads} does not divide --width {self.width}")
        if self.parameters >= PARAMETER_LIMIT:
            raise ValueError(
                f"{self.parameters:,} parameters, of which {self.embedding_parameters:,} are "
                f"embeddings; the limit is {PARAMETER_LIMIT - 1:,}: lower --vocabulary, --layers, "
                "--width or --feed-forward"
            )

    @property
    def embedding_parameters(self) -> int:
        """Token embeddings, which are the output weights too, and position embeddings."""
        return (self.vocabulary + self.context_length) * self.width

    @property
    def parameters(self) -> int:
        """All trained numbers of the model, before it is built."""
        width, inside = self.width, self.feed_forward
        norm = 2 * width
        attention = 4 * width * (width + 1)
        feed_forward = 2 * width * inside + inside + width
        distances = self.heads * self.context_length if self.distance_bias else 0
        smear = self.heads if self.smeared_keys else 0
        layer = attention + feed_forward + 2 * norm + distances + smear
        return self.embedding_parameters + self.layers * layer + norm
