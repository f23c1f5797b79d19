"""The loss that the Trainer minimizes: the mean over all targets of a step, for any architecture.

With gradient accumulation, or several processes, a step has several micro-batches.  The Trainer
counts the targets of all of them, and expects that the model divides the sum of its micro-batch by
this number, `num_items_in_batch`.  Most models do, in their `loss_function`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.loss.loss_utils import LOSS_MAPPING, ForCausalLMLoss

from compare.corpus.blocks import IGNORED
from compare.ruler.evaluation import evaluation_mode

ComputeLoss = Callable[..., Tensor]


@dataclass(frozen=True)
class LossCall:
    """What a model has passed to its `loss_function`."""

    logits: Tensor
    keywords: frozenset[str]


def trainer_loss(model: PreTrainedModel) -> ComputeLoss | None:
    """Return the `compute_loss_func` that the Trainer needs for `model`, or None if it needs none.

    Some decoders, such as BART's, compute the mean over a micro-batch themselves, and ignore
    `num_items_in_batch`, which they accept.  The gradient would then be multiplied by the number of
    micro-batches.
    """
    needed = {"shift_labels", "num_items_in_batch"}
    if any(needed <= call.keywords for call in calls_of_loss_function(model)):
        return None
    return mean_loss


def mean_loss(outputs: Any, targets: Tensor, num_items_in_batch: Tensor) -> Tensor:
    """Return the sum of the cross-entropies in nats divided by `num_items_in_batch`, in fp32.

    `outputs.logits` is (batch, time, vocabulary).  `targets` is (batch, time) int64, and holds the
    token after each input, or IGNORED.
    """
    logits = outputs.logits.float().flatten(0, 1)
    nats = F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="sum")
    return nats / num_items_in_batch


@torch.no_grad()
def calls_of_loss_function(model: PreTrainedModel) -> list[LossCall]:
    """Run `model` on a few tokens, and return with what it calls its `loss_function`."""
    calls: list[LossCall] = []

    def keep(logits: Tensor, *_: Any, **keywords: Any) -> Tensor:
        calls.append(LossCall(logits, frozenset(keywords)))
        return logits.new_zeros(())

    model.loss_function = keep
    # Several, because the embedding of padding, which may be token 0, is 0: then all logits are 0.
    ids = torch.arange(8, device=model.device)[None]
    try:
        with evaluation_mode(model):
            model(ids, labels=ids, shift_labels=ids, num_items_in_batch=torch.tensor(8))
    finally:
        model.loss_function = default_loss_function(model)
    return calls


def default_loss_function(model: PreTrainedModel) -> Any:
    """Return the loss function that the library has for the class of `model`."""
    loss_type: Any = model.loss_type  # None, where the library warns and takes the default
    return LOSS_MAPPING.get(loss_type, ForCausalLMLoss)
