"""Parts of Llama and similar architectures as single functions with hand-written gradients.

transformers composes each of them from many elementwise operations.  Every operation reads and
writes all activations, and stores what autograd needs.  The functions here compute the same, and
store little more than their inputs.  RMSNorm computes in fp32 and GatedSiLU in the dtype of its
input.

Under autocast, every matrix product would convert the result of a norm again.  RMSNorm therefore
returns the dtype in which these products take their input.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def product_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype in which a matrix product would take `x`: that of autocast, if it is on."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


class RMSNorm(torch.autograd.Function):
    """weight * x / sqrt(mean(x**2) + epsilon), over the last dimension, computed in fp32.

    The result has the `product_dtype` of x.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        wide = x.float()
        norm = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        scale = (norm.square() / x.shape[-1] + epsilon).rsqrt()
        ctx.save_for_backward(x, weight, scale)
        return (wide * scale).mul_(weight).to(product_dtype(x))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weight, scale = ctx.saved_tensors
        gradient = gradient.float()
        normalized = x.float() * scale
        of_weight = None
        if ctx.needs_input_grad[1]:
            of_weight = (gradient * normalized).flatten(0, -2).sum(0).to(weight.dtype)
        gradient = gradient * weight
        along = torch.linalg.vecdot(gradient, normalized).unsqueeze(-1) / x.shape[-1]
        of_x = gradient.addcmul_(normalized, along, value=-1).mul_(scale)
        return of_x.to(x.dtype), of_weight, None


class Rotation(torch.autograd.Function):
    """Rotary position embedding: x * cos + rotate_half(x) * sin, returned in the dtype of x.

    `x` is (batch, heads, time, width), and `cos` and `sin` can be broadcast to it.  It is computed
    in fp32 if they are in fp32.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        first, second = sin.chunk(2, -1)
        return _rotated(x, cos, first, second)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        first, second = sin.chunk(2, -1)
        return _rotated(gradient, cos, -second, -first), None, None


def _rotated(x: Tensor, cos: Tensor, from_second: Tensor, from_first: Tensor) -> Tensor:
    """Return (a cos - b from_second, b cos + a from_first) for x = (a, b)."""
    rotated = x * cos  # in fp32, if cos is
    half = x.shape[-1] // 2
    wide = x.to(rotated.dtype)
    rotated[..., :half].addcmul_(wide[..., half:], from_second, value=-1)
    rotated[..., half:].addcmul_(wide[..., :half], from_first)
    return rotated.to(x.dtype)


class GatedSiLU(torch.autograd.Function):
    """silu(gate) * up, computed and returned in the dtype of the two, which have the same shape."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        of_gate = torch.ops.aten.silu_backward(gradient * up, gate)
        return of_gate, F.silu(gate).mul_(gradient)
