"""--patience: when training stops early, and which weights it keeps."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from compare.errors import Failure
from compare.runs.writer import Run
from scratch_lm import train as training
from scratch_lm.config import ScratchOptions
from scratch_lm.model import ScratchLM
from tests.conftest import TINY
from tests.run_records import make_metrics

# Bits per byte decrease until epoch 2; epoch 4 is as good as epoch 2, but no better.
NATS = (200.0, 190.0, 195.0, 190.0, 180.0)


@pytest.fixture
def evaluated(
    tmp_path: Path,
    tiny_shakespeare: str,
    restored_signals: None,
    monkeypatch: pytest.MonkeyPatch,
) -> list[dict[str, torch.Tensor]]:
    """Give the epochs the scores NATS; return a list that receives each epoch's weights."""
    weights: list[dict[str, torch.Tensor]] = []

    def evaluate(model: ScratchLM, *_: object) -> object:
        weights.append({name: each.detach().clone() for name, each in model.named_parameters()})
        return make_metrics(NATS[len(weights) - 1])

    monkeypatch.setattr(training, "evaluate", evaluate)
    monkeypatch.setattr(training.sampling, "samples", lambda *_: [])
    Path("text.txt").write_text(tiny_shakespeare[:4000], "utf-8")
    return weights


def options(**differing: object) -> ScratchOptions:
    return ScratchOptions(**TINY | {"epochs": 5, "tracking": "disabled"} | differing)


def assert_weights_of_epoch_2(run: Run, evaluated: list[dict[str, torch.Tensor]]) -> None:
    assert run.complete and run.record.best_epoch == 2
    saved = load_file(run.path / "model/model.safetensors")
    assert all(torch.equal(saved[name], each) for name, each in evaluated[1].items())


def test_training_stops_after_epochs_without_a_better_score_and_keeps_the_best(
    evaluated: list[dict[str, torch.Tensor]],
) -> None:
    run = training.train(options(patience=2))
    assert [epoch.epoch for epoch in run.record.epochs] == [1, 2, 3, 4]
    assert_weights_of_epoch_2(run, evaluated)


def test_a_run_that_was_killed_after_its_early_stop_trains_no_further(
    evaluated: list[dict[str, torch.Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Failure("the disk is full")

    with monkeypatch.context() as patch, pytest.raises(Failure):
        patch.setattr(Run, "save_model", fail)
        training.train(options(patience=1))
    gc.collect()  # releases the lock, as the end of a process does
    run = training.train(options(patience=1, resume=True))
    assert run.resumed and len(evaluated) == len(run.record.epochs) == 3
    assert_weights_of_epoch_2(run, evaluated)


def test_by_default_all_epochs_are_trained(
    evaluated: list[dict[str, torch.Tensor]],
) -> None:
    assert len(training.train(options()).record.epochs) == 5
