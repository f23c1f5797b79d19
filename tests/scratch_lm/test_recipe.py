"""Every option of a recipe does something: the weights are others without it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from scratch_lm import train as training
from scratch_lm.batches import Batch
from scratch_lm.config import ScratchOptions
from scratch_lm.distillation import SoftTargets
from scratch_lm.model import ScratchLM
from scratch_lm.optimizer import make_optimizers, set_learning_rate
from tests.conftest import TINY
from tests.run_records import make_metrics

Weights = dict[str, torch.Tensor]


@pytest.fixture
def train(
    tiny_shakespeare: str, restored_signals: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Weights]:
    """Return a function that trains with some options, and returns the weights."""
    monkeypatch.setattr(training, "evaluate", lambda *_: make_metrics())
    monkeypatch.setattr(training.sampling, "samples", lambda *_: [])
    Path("text.txt").write_text(tiny_shakespeare[200_000:208_000], "utf-8")  # names of all lengths

    def train(**options: Any) -> Weights:
        recipe = TINY | {"epochs": 1, "tracking": "disabled", "warmup_steps": 2} | options
        return load_file(training.train(ScratchOptions(**recipe)).path / "model/model.safetensors")

    return train


def differ(one: Weights, other: Weights) -> bool:
    return any(not torch.equal(one[name], other[name]) for name in one.keys() & other.keys())


def test_each_option_changes_the_weights(train: Callable[..., Weights]) -> None:
    plain = train()
    assert not differ(plain, train())  # nothing else does
    for changed in (
        {"seed": 2},
        {"dropout": 0.2},
        {"rename": 1.0},
        {"drills": True},
        {"warmup_steps": 1},
        {"averaging": 0.9},
        {"init_std": 0.03},
        {"learning_rate": 0.0004},
        {"optimizer": "muon"},
        {"batch_size": 32},
        {"query_key_norm": True},
    ):
        assert differ(plain, train(**changed)), changed
    muon = train(optimizer="muon")
    assert differ(muon, train(optimizer="muon", muon_learning_rate=0.01))


@pytest.fixture
def model() -> ScratchLM:
    torch.manual_seed(0)
    return training.build_model(ScratchOptions(**TINY), end_of_text_id=0)


def one_step(model: ScratchLM, soft_targets: SoftTargets | None = None) -> Weights:
    """Update the weights once, and return them."""
    rows = torch.arange(40).reshape(2, 20)
    batch = Batch(rows[:, :16], rows[:, 1:17], torch.arange(32).reshape(2, 16))
    training.train_step(
        model, make_optimizers(model, ScratchOptions(**TINY)), batch, soft_targets=soft_targets
    )
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def test_teachers_change_what_a_step_learns(model: ScratchLM) -> None:
    start = {name: weight.clone() for name, weight in model.state_dict().items()}
    alone = one_step(model)
    model.load_state_dict(start)
    soft_targets = SoftTargets(np.full((32, 1), 99, np.int32), np.ones((32, 1), np.float16))
    assert differ(alone, one_step(model, soft_targets))


def test_gradients_are_clipped(model: ScratchLM, monkeypatch: pytest.MonkeyPatch) -> None:
    clipped: list[float] = []
    clip = torch.nn.utils.clip_grad_norm_

    def note(parameters: Any, max_norm: float) -> torch.Tensor:
        parameters = list(parameters)
        for parameter in parameters:
            parameter.grad.mul_(100)
        norm = clip(parameters, max_norm)
        squares = [float(parameter.grad.square().sum()) for parameter in parameters]
        clipped.append(math.sqrt(sum(squares)))
        return norm

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", note)
    one_step(model)
    assert clipped == [pytest.approx(training.MAX_GRAD_NORM, rel=1e-4)]


def test_the_learning_rate_rises_then_falls_to_a_twentieth(model: ScratchLM) -> None:
    optimizers = make_optimizers(model, ScratchOptions(**TINY | {"learning_rate": 0.002}))
    rates = [set_learning_rate(optimizers, step, 110, warmup_steps=10) for step in range(111)]
    assert rates[0] == pytest.approx(0.0002) and rates[9] == pytest.approx(0.002)
    assert rates[60] == pytest.approx(0.002 * (0.05 + 0.95 / 2))
    assert rates[110] == pytest.approx(0.0001)
    assert sorted(rates[:10]) == rates[:10] and sorted(rates[10:], reverse=True) == rates[10:]
    # Drills that are longer than the schedule stay at its end.
    assert set_learning_rate(optimizers, 200, 110, warmup_steps=10) == pytest.approx(0.0001)
    assert set_learning_rate(optimizers, 200, 5, warmup_steps=10) == pytest.approx(0.0001)
