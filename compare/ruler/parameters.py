"""The parameter counts of a model."""

from __future__ import annotations

from compare.strict_model import StrictModel


class Parameters(StrictModel):
    """Parameter counts, as `compare.ruler.flops.count_parameters` returns them."""

    total: int
    non_embedding: int
    """Parameters other than the embeddings and the output matrix."""
    trained: int | None = None
    """Trainable parameters; set for LoRA only."""
