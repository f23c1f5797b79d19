"""Call a model whose code may be anybody's, and learn what the ruler needs to know about it."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature

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
    "sequence_length",
    "max_len",
    "ctx_len",
    "context_len",
)
MIN_CONTEXT_LENGTH = 2

# torch has a type for the full memory of an NVIDIA or AMD GPU, but for that of an Apple GPU, and of
# the machine, only messages.
FULL_APPLE_GPU = "MPS backend out of memory"
FULL_MACHINE = "DefaultCPUAllocator: can't allocate memory"


class BadForward(Failure):
    """The model cannot be called as a causal language model."""


def raise_if_out_of_memory(error: Exception) -> None:
    """Raise an exception if a model's code has raised `error` because memory is full.

    It is torch.OutOfMemoryError for any GPU, and `error` itself for this machine's other memory.
    That says nothing about the model, so it must not be held against it.
    """
    raise_if_gpu_is_full(error)
    if isinstance(error, MemoryError) or FULL_MACHINE in str(error):
        raise error


def raise_if_gpu_is_full(error: BaseException) -> None:
    """Raise torch.OutOfMemoryError if `error` says that a GPU's memory is full."""
    if isinstance(error, torch.OutOfMemoryError):
        raise error
    if isinstance(error, RuntimeError) and FULL_APPLE_GPU in str(error):
        raise torch.OutOfMemoryError(str(error)) from error


@torch.inference_mode()
def logits_of(model: PreTrainedModel, ids: Tensor, last: int | None = None) -> Tensor:
    """Return the logits, (batch, time, vocabulary) float32, for `ids`, (batch, time).

    With `last`, only those at the last positions are returned, and the model is asked for no others
    if it can leave them out, as `compare.ruler.scoring` does.

    Raises BadForward if the model's code raises, or returns anything else; but if memory is full,
    as `raise_if_out_of_memory` does.
    """
    leave_out = {}
    try:
        if last is not None and "logits_to_keep" in signature(model.forward).parameters:
            leave_out = {"logits_to_keep": last}
        logits = model(input_ids=ids, **leave_out).logits
    except Exception as error:  # of any type: the code may be anybody's
        raise_if_out_of_memory(error)
        raise BadForward(
            f"model(input_ids=...).logits raises {type(error).__name__}: {_first_line(error)}"
        ) from None
    if last is not None and isinstance(logits, Tensor):
        logits, ids = logits[:, -last:], ids[:, -last:]
    if not isinstance(logits, Tensor) or logits.shape[:2] != ids.shape or logits.ndim != 3:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise BadForward(
            f"for input_ids of shape {tuple(ids.shape)}, the logits are {shape} instead of "
            "(batch, time, vocabulary)"
        )
    if not logits.isfinite().any(-1).all():
        raise BadForward("the logits of a position are all infinite or not a number")
    return logits.float()


@dataclass(frozen=True)
class ContextLength:
    """How many tokens a model can read."""

    tokens: int
    is_guessed: bool
    """Whether it was found by trying, because the configuration has no known name for it."""

    def __str__(self) -> str:
        if not self.is_guessed:
            return f"{self.tokens} tokens of context"
        return (
            f"{self.tokens} tokens of context, the largest power of two that works (config.json "
            "does not give the context length under a known name, such as max_position_embeddings)"
        )


def prepare(model: PreTrainedModel) -> ContextLength:
    """Return the context length, and write it and the vocabulary's size where the ruler reads them.

    They are written to the loaded configuration, and only if it calls them by other names.  If it
    has no known name for the context length, the longest that works is found by trying.

    Raises BadForward if the model cannot be called.
    """
    config = model.config
    is_guessed = False
    if not isinstance(getattr(config, "max_position_embeddings", None), int):
        declared = _declared_context_length(model)
        is_guessed = declared is None
        config.max_position_embeddings = declared or _find_context_length(model)
    length = min(config.max_position_embeddings, MAX_CONTEXT_LENGTH)
    logits = logits_of(model, _zeros(model, length))
    if not isinstance(getattr(config, "vocab_size", None), int):
        config.vocab_size = logits.shape[-1]
    return ContextLength(length, is_guessed)


def _declared_context_length(model: PreTrainedModel) -> int | None:
    """Return the context length that the configuration gives under one of LENGTH_NAMES."""
    for name in LENGTH_NAMES:
        if isinstance(length := getattr(model.config, name, None), int) and length > 1:
            return length
    return None


def _find_context_length(model: PreTrainedModel) -> int:
    """Return the longest power of two that works as a context length."""
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
