"""Causal attention for training in bf16 on a CPU, in less than half the time of torch's kernel.

torch's fused kernel calls many small matrix products, which do not reach the speed of the bf16
instructions.  Here, every block of queries attends to all keys up to its end at once: two large
matrix products and one softmax.  Only one block's probabilities exist at a time, and the backward
pass computes them again.

Scores are rounded to bf16 before the softmax, as in transformers' "eager" attention; torch's fused
kernel keeps them in fp32.  Queries, keys and probabilities are rounded as much in both.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "blockwise"
BLOCK = 128  # queries; the products of 64 are slower, and those of 256 compute more masked scores


def use_blockwise_attention(model: PreTrainedModel) -> None:
    """Let a model that uses torch's fused attention compute it in blocks, where that is faster."""
    if model.config._attn_implementation == "sdpa" and model._can_set_attn_implementation():
        AttentionInterface.register(NAME, _attention)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Return the attention of `module`, (batch, time, heads, width), and no weights.

    `query` is (batch, heads, time, width); `key` and `value` may have fewer heads.
    """
    is_blockwise = (
        module.training
        and query.device.type == "cpu"
        and query.dtype == key.dtype == value.dtype == torch.bfloat16
        and query.shape[-2:] == key.shape[-2:] == value.shape[-2:]
        and attention_mask is None  # that is: causal, and nothing else
        and settings.get("is_causal") in (None, True)
        and getattr(module, "is_causal", True)
        and not settings.get("dropout")
        and all(settings.get(name) is None for name in ("softcap", "position_bias", "cache"))
    )
    if not is_blockwise:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    scaling = settings.get("scaling") or query.shape[-1] ** -0.5
    return CausalAttention.apply(query, key, value, scaling).transpose(1, 2).contiguous(), None


class CausalAttention(torch.autograd.Function):
    """softmax(scaling * query @ key^T, masked to the past) @ value, for each head.

    `query` is (batch, heads, time, width).  `key` and `value` have the same shape, or fewer heads,
    each of which serves as many consecutive heads of `query`; they are not copied for that.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        batch, key_heads, time, width = key.shape
        # Query heads with the same keys become rows of the same matrix products.
        queries = (query * scaling).reshape(batch * key_heads, -1, time, width)
        keys, values = key.flatten(0, 1), value.flatten(0, 1)
        result = torch.empty_like(queries)
        for block in _blocks(time):
            weights = _weights(queries, keys, block)
            _set_rows(result, block, weights @ values[:, : block.stop])
        ctx.save_for_backward(queries, keys, values)
        ctx.scaling, ctx.key_shape = scaling, key.shape
        return result.view(query.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        queries, keys, values = ctx.saved_tensors
        gradients = gradient.reshape(queries.shape)
        of_queries = torch.empty_like(queries)
        of_keys, of_values = (torch.zeros_like(keys, dtype=_sum_dtype(keys)) for _ in range(2))
        for block in _blocks(queries.shape[-2]):
            past = slice(block.stop)
            weights = _weights(queries, keys, block)
            of_result = _rows(gradients, block)
            of_weights = of_result @ values[:, past].mT
            of_scores = torch.ops.aten._softmax_backward_data(
                of_weights, weights, -1, weights.dtype
            )
            _set_rows(of_queries, block, of_scores @ keys[:, past])
            of_keys[:, past] += of_scores.mT @ _rows(queries, block)
            of_values[:, past] += weights.mT @ of_result
        return (
            of_queries.mul_(ctx.scaling).view(gradient.shape),
            of_keys.to(keys.dtype).view(ctx.key_shape),
            of_values.to(values.dtype).view(ctx.key_shape),
            None,
        )


def _blocks(time: int) -> list[slice]:
    """Return slices of at most `BLOCK` consecutive positions."""
    return [slice(begin, min(begin + BLOCK, time)) for begin in range(0, time, BLOCK)]


def _weights(queries: Tensor, keys: Tensor, block: slice) -> Tensor:
    """Return the attention weights of one block's queries on all keys up to the block's end.

    `queries` is (groups, heads, time, width) and `keys` (groups, time, width).  The result is
    (groups, heads * block, keys).
    """
    scores = _rows(queries, block) @ keys[:, : block.stop].mT
    size = block.stop - block.start
    future = torch.full((size, size), -math.inf, dtype=scores.dtype).triu(1)
    scores.unflatten(1, (-1, size))[..., block.start :] += future
    return scores.softmax(-1)


def _rows(tensor: Tensor, block: slice) -> Tensor:
    """Return a block of (groups, heads, time, width) as (groups, heads * block, width)."""
    return tensor[:, :, block].flatten(1, 2)


def _set_rows(tensor: Tensor, block: slice, rows: Tensor) -> None:
    """Set a block of (groups, heads, time, width) to `rows`, (groups, heads * block, width)."""
    tensor[:, :, block] = rows.unflatten(1, (tensor.shape[1], -1))


def _sum_dtype(tensor: Tensor) -> torch.dtype:
    """Return the dtype in which to add up gradients of `tensor` over all blocks."""
    return torch.promote_types(tensor.dtype, torch.float32)
