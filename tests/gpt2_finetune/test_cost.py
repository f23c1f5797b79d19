"""The estimate of what a larger GPT-2 costs."""

from __future__ import annotations

import pytest

from gpt2_finetune.cost import GIB, count_activation_bytes, size_of
from tests.conftest import Place


def test_sizes_are_those_of_the_published_models() -> None:
    xl = size_of("gpt2-xl")
    assert xl.parameters == 1_557_611_200
    # Kaplan et al. 2020: 6 FLOP per weight and token, plus attention.
    assert 6 < xl.flops_per_token / xl.parameters < 7


def test_activations_are_those_of_a_fused_layer() -> None:
    # Korthikanti et al. 2022, "Reducing Activation Recomputation": 34 bytes per token and channel,
    # all in 16 bits and with the masks of dropout.  Here, there are no masks, but the norms and the
    # sums between layers are in fp32.
    assert 30 < count_activation_bytes(heads=1) < 45
    assert count_activation_bytes(heads=3) == pytest.approx(
        count_activation_bytes(heads=1), rel=0.01
    )


def test_sharing_and_checkpointing_save_memory() -> None:
    xl = size_of("gpt2-xl")
    copied, recomputed = (xl.replicated_bytes(checkpointing, 8) for checkpointing in (False, True))
    assert 22 * xl.parameters < recomputed < copied < 25 * xl.parameters
    assert xl.sharded_bytes(False, 8) < copied / 3
    assert xl.sharded_bytes(True, 16) < xl.sharded_bytes(True, 8) < 8 * GIB


def test_the_command_prints_what_does_not_fit(place: Place) -> None:
    shown = place.run("gpt2_finetune.cost", "--memory", 33).stdout
    assert "1,557,611,200 parameters" in shown
    assert "more than 33" in shown and "fits" in shown
    assert "8 GPUs with one row each per step" in shown and "\n3 epochs: " in shown
    shown = place.run("gpt2_finetune.cost", "--base", "gpt2", "--gpus", 1, "--epochs", 1).stdout
    assert "1 GPU with one row per step" in shown and "\n1 epoch: " in shown
    assert "--utilization" in place.refused("gpt2_finetune.cost", "--utilization", 2)
