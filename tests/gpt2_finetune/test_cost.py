"""The estimate of what a larger GPT-2 costs."""

from __future__ import annotations

import pytest

from gpt2_finetune.cost import (
    GIB,
    REPLICATED,
    SHARDED,
    CostOptions,
    count_activation_bytes,
    duration,
    estimate,
    size_of,
    study_shares,
)
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
    assert xl.sharded_bytes(False, 16) < xl.sharded_bytes(False, 8)
    assert xl.sharded_bytes(True, 8) < 8 * GIB


def test_even_many_gpus_must_each_have_room_for_all_weights_at_first() -> None:
    xl = size_of("gpt2-xl")
    assert xl.sharded_bytes(True, 1000) == 4 * xl.parameters


def test_what_is_written_and_read_costs_time() -> None:
    """Three epochs with a checkpoint each; the base, and the best epoch's weights twice."""
    options = CostOptions(base="gpt2", gpus=8, epochs=3, disk=1.0)
    gpt2 = size_of("gpt2")
    gigabytes = gpt2.parameters / 1e9
    copied, shared = (duration(options, gpt2, each) for each in (REPLICATED, SHARDED))
    assert copied.transferring == pytest.approx((3 * 12 + 3 * 4) * gigabytes)
    assert shared.transferring == pytest.approx((3 * 16 + 3 * 4) * gigabytes)
    half = duration(options, gpt2, REPLICATED, share=0.5)
    assert half.computing == pytest.approx(copied.computing / 2)
    assert half.seconds > copied.seconds / 2  # as many checkpoints


def test_the_study_is_what_the_plan_trains_from_a_base() -> None:
    """Three seeds of fine-tuning, LoRA, random weights, and three shares of the text."""
    assert sorted(study_shares("gpt2-xl")) == 3 * [0.125] + 3 * [0.25] + 3 * [0.5] + 9 * [1.0]


def test_the_command_prints_what_does_not_fit(place: Place) -> None:
    shown = place.run("gpt2_finetune.cost", "--memory", 33).stdout
    assert "1,557,611,200 parameters" in shown
    assert "more than 33" in shown and "fits" in shown
    assert "8 GPUs with one row each per step" in shown and "one training, 3 epochs of " in shown
    assert "the study, 18 trainings from this base" in shown
    shown = place.run("gpt2_finetune.cost", "--base", "gpt2", "--gpus", 1, "--epochs", 1).stdout
    assert "1 GPU with one row per step" in shown and "one training, 1 epoch of " in shown
    assert "--utilization" in place.refused("gpt2_finetune.cost", "--utilization", 2)


@pytest.mark.parametrize(
    ("memory", "launcher", "saves_memory"),
    [
        (79, "torchrun --nproc-per-node 8 ", False),
        (38, "torchrun --nproc-per-node 8 ", True),
        (24, "accelerate launch --config_file gpt2_finetune/fsdp.yaml --num_processes 8 ", False),
        (8, "accelerate launch --config_file gpt2_finetune/fsdp.yaml --num_processes 8 ", True),
    ],
)
def test_the_estimate_is_for_a_command_that_fits(
    capsys: pytest.CaptureFixture[str], memory: int, launcher: str, saves_memory: bool
) -> None:
    estimate(CostOptions(memory=memory))
    (command,) = [line for line in capsys.readouterr().out.splitlines() if " -m " in line]
    assert command.startswith(launcher)
    assert command.endswith(" --gradient-checkpointing") == saves_memory


def test_no_command_is_printed_if_nothing_fits(capsys: pytest.CaptureFixture[str]) -> None:
    estimate(CostOptions(memory=4))
    shown = capsys.readouterr().out
    assert "Nothing fits: use more GPUs, or larger ones." in shown
    assert " -m " not in shown and "minutes" not in shown
