"""Call a model whose code may be anybody's, and learn what the ruler needs to know about it."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

from compare.errors import Failure
from compare.ruler.scoring import MAX_CONTEXT_LENGTH

# What configurations other than those of transformers call the context length.
LENGTH_NAMES = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "block_size",
    "context_length",
    "context_size",
    "context_window",
    "max_seq_len",
    "max_seq_length",
    "max_sequence_length",
    "max_length",
    "seq_len",
    "seq_length",
)
MIN_CONTEXT_LENGTH = 2


class BadForward(Failure):
    """The model cannot be called as a causal language model."""


@torch.inference_mode()
def logits_of(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """Return the logits, (batch, time, vocabulary) float32, for `ids`, (batch, time).

    Raises BadForward if the model's code raises, or returns anything else.
    """
    try:
        logits = model(input_ids=ids).logits
    except Exception as error:  # of any type: the code may be anybody's
        raise BadForward(
            f"model(input_ids=...).logits raises {type(error).__name__}: {_first_line(error)}"
        ) from None
    if not isinstance(logits, Tensor) or logits.shape[:2] != ids.shape or logits.ndim != 3:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise BadForward(
            f"for input_ids of shape {tuple(ids.shape)}, the logits are {shape} instead of "
            "(batch, time, vocabulary)"
        )
    if not logits.isfinite().any(-1).all():
        raise BadForward("the logits of a position are all infinite or not a number")
    return logits.float()


def prepare(model: PreTrainedModel) -> int:
    """Return the context length, and write it and the vocabulary's size where the ruler reads them.

    They are written to the loaded configuration, and only if it calls them by other names.  If it
    has no known name for the context length, the longest that works is found by trying.

    Raises BadForward if the model cannot be called.
    """
    config = model.config
    if not isinstance(getattr(config, "max_position_embeddings", None), int):
        config.max_position_embeddings = _find_context_length(model)
    length = min(config.max_position_embeddings, MAX_CONTEXT_LENGTH)
    logits = logits_of(model, _zeros(model, length))
    if not isinstance(getattr(config, "vocab_size", None), int):
        config.vocab_size = logits.shape[-1]
    return length


def _find_context_length(model: PreTrainedModel) -> int:
    """Return the declared context length, or else the longest power of two that works."""
    for name in LENGTH_NAMES:
        if isinstance(length := getattr(model.config, name, None), int) and length > 1:
            return length
    length = MAX_CONTEXT_LENGTH
    while True:
        try:
            logits_of(model, _zeros(model, length))
            return length
        except BadForward:
            length //= 2
            if length < MIN_CONTEXT_LENGTH:
                raise


def _zeros(model: PreTrainedModel, length: int) -> Tensor:
    return torch.zeros(1, length, dtype=torch.long, device=model.device)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
