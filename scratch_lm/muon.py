"""Muon with the orthogonalization of all matrices of a shape at once, in fp32."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor


class BatchedMuon(torch.optim.Muon):
    """`torch.optim.Muon`, faster for many small matrices, and on CPUs without bf16 instructions.

    torch orthogonalizes matrix by matrix in bf16.  On a CPU that has to emulate bf16, this takes
    several times as long as the rest of the step.  Learning rates are adjusted as in
    `adjust_lr_fn="original"`, the default.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # torch's is untyped
        """Update all parameters that have a gradient.  `closure` is not supported."""
        assert closure is None
        for group in self.param_groups:
            parameters = [each for each in group["params"] if each.grad is not None]
            gradients = [each.grad for each in parameters]
            momenta = [self._momentum_of(each) for each in parameters]
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            looked_ahead = torch._foreach_lerp(gradients, momenta, group["momentum"])  # Nesterov's
            updates = orthogonalize(
                looked_ahead, group["ns_coefficients"], group["ns_steps"], group["eps"]
            )
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            for parameter, update in zip(parameters, updates, strict=True):
                rows, columns = parameter.shape
                adjusted = group["lr"] * math.sqrt(max(1, rows / columns))
                parameter.add_(update, alpha=-adjusted)

    def _momentum_of(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        return state["momentum_buffer"]


def orthogonalize(
    matrices: Sequence[Tensor],
    coefficients: tuple[float, float, float],
    steps: int,
    epsilon: float,
) -> list[Tensor]:
    """For each matrix U S V^T, return approximately U V^T.

    The approximation is a Newton-Schulz iteration (Jordan 2024).

    Each of the `steps` (at least one) maps X to P X with P = a I + b X X^T + c (X X^T)^2, for the
    `coefficients` a, b, c.  Since all these P commute with X X^T, the iteration can do without X:
    it keeps X X^T, which a step maps to P X X^T P, and the product of the P.  For a matrix of
    n x 4n, this takes about half the time.

    Matrices of the same shape, also after transposition, are computed in one batch.
    """
    a, b, c = coefficients
    by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, matrix in enumerate(matrices):
        by_shape[min(matrix.shape), max(matrix.shape)].append(index)
    results = list(matrices)
    for indices in by_shape.values():
        x = torch.stack([_wide(matrices[index]) for index in indices])
        x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=epsilon)
        square = x @ x.mT
        factors: list[Tensor] = []
        for _ in range(steps):
            if factors:
                square = factors[-1] @ square @ factors[-1]
            factor = torch.baddbmm(square, square, square, beta=b, alpha=c)
            factor.diagonal(dim1=1, dim2=2).add_(a)
            factors.append(factor)
        product = reduce(torch.matmul, factors)
        for index, result in zip(indices, product @ x, strict=True):
            is_tall = matrices[index].shape[0] > matrices[index].shape[1]
            results[index] = result.T if is_tall else result
    return results


def _wide(matrix: Tensor) -> Tensor:
    """Return `matrix` or its transpose: the one with the smaller X X^T."""
    return matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
