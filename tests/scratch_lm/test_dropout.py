"""Every seed, step and process draws its own dropout masks."""

from __future__ import annotations

import itertools

import torch

from scratch_lm.dropout import dropout_seed


def test_masks_differ_between_seeds_steps_and_processes() -> None:
    masks = set()
    for seed, step, rank in itertools.product((0, 1, 2, 2**32 - 1), (0, 1, 1000), (0, 1)):
        torch.manual_seed(dropout_seed(seed, step, rank))
        masks.add(tuple(torch.nn.functional.dropout(torch.ones(64)).tolist()))
    assert len(masks) == 4 * 3 * 2


def test_the_masks_of_a_step_do_not_depend_on_earlier_draws() -> None:
    def draw() -> torch.Tensor:
        torch.manual_seed(dropout_seed(1, 7, 0))
        return torch.rand(8)

    first = draw()
    torch.rand(3)
    assert draw().equal(first)
