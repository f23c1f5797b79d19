"""Muon takes the same steps as torch's, which are computed in bf16."""

from __future__ import annotations

import torch

from scratch_lm.muon import BatchedMuon, orthogonalize

SHAPES = [(24, 8), (8, 8), (8, 24), (24, 8), (7, 9)]
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def test_steps_are_those_of_torch() -> None:
    torch.manual_seed(0)
    starts = [torch.randn(shape) for shape in SHAPES]
    ours = [torch.nn.Parameter(start.clone()) for start in starts]
    theirs = [torch.nn.Parameter(start.clone()) for start in starts]
    optimizers = [
        BatchedMuon(ours, lr=0.1),
        torch.optim.Muon(theirs, lr=0.1, adjust_lr_fn="original"),
    ]
    for _ in range(3):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for start, mine, other in zip(starts, ours, theirs, strict=True):
        moved = (other - start).norm()
        assert (mine - other).norm() < 0.05 * moved  # bf16 has 8 bits; measured: 0.016


def test_the_iteration_is_the_published_one() -> None:
    """On X itself, in fp64: five times X -> a X + b (X X^T) X + c (X X^T)^2 X."""
    torch.manual_seed(0)
    a, b, c = COEFFICIENTS
    matrices = [torch.randn(shape) for shape in SHAPES]
    for matrix, result in zip(
        matrices, orthogonalize(matrices, COEFFICIENTS, 5, 1e-7), strict=True
    ):
        x = matrix.double() / matrix.double().norm()
        for _ in range(5):
            square = x @ x.T
            x = a * x + (b * square + c * square @ square) @ x
        torch.testing.assert_close(result.double(), x, atol=1e-4, rtol=0)


def test_a_parameter_without_gradient_stays() -> None:
    parameters = [torch.nn.Parameter(torch.ones(4, 4)) for _ in range(2)]
    parameters[0].grad = torch.ones(4, 4)
    BatchedMuon(parameters, lr=0.1).step()
    assert not torch.equal(parameters[0], torch.ones(4, 4))
    assert torch.equal(parameters[1], torch.ones(4, 4))
