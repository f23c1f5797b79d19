"""--averaging: the average of the weights is evaluated, saved and resumed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from scratch_lm import train as training
from scratch_lm.averaging import make_average
from scratch_lm.config import ScratchOptions
from scratch_lm.model import ScratchLM
from tests.conftest import SCRATCH, TINY, Place
from tests.file_events import FileEvent


def test_the_average_follows_its_definition() -> None:
    model = nn.Linear(2, 1, bias=False)
    average = make_average(model, decay=0.75)
    assert average is not None
    expected = torch.zeros(1, 2)
    for step in range(40):
        with torch.no_grad():
            model.weight.copy_(torch.tensor([[1.0, step]]))
        average.update_parameters(model)
        decay = 0.0 if step == 0 else min(0.75, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(average.module.weight.detach(), expected)
    assert average.module.weight[0, 1] < 38  # behind the weights themselves
    assert make_average(model, decay=0.0) is None


def test_the_average_is_evaluated_and_saved(
    tmp_path: Path,
    tiny_shakespeare: str,
    restored_signals: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("text.txt").write_text(tiny_shakespeare[:4000], "utf-8")
    evaluated: list[dict[str, torch.Tensor]] = []
    in_training: list[dict[str, torch.Tensor]] = []

    def weights(model: nn.Module) -> dict[str, torch.Tensor]:
        return {name: each.detach().clone() for name, each in model.named_parameters()}

    really = training.evaluate
    build = training.build_model

    def evaluate(model: ScratchLM, *others: object) -> object:
        evaluated.append(weights(model))
        in_training.append(weights(built[0]))
        return really(model, *others)

    built: list[ScratchLM] = []

    def build_model(*arguments: object) -> ScratchLM:
        built.append(build(*arguments))
        return built[-1]

    monkeypatch.setattr(training, "evaluate", evaluate)
    monkeypatch.setattr(training, "build_model", build_model)
    options = {"averaging": 0.9, "epochs": 2, "tracking": "disabled"}
    run = training.train(ScratchOptions(**TINY | options))
    saved = load_file(run.path / "model/model.safetensors")
    best = evaluated[run.record.best_epoch - 1]
    assert all(torch.equal(saved[name], each) for name, each in best.items())
    last = in_training[run.record.best_epoch - 1]
    assert not torch.equal(saved["tokens.weight"], last["tokens.weight"])


def test_a_resumed_run_continues_the_average(place: Place, mini_text: Path) -> None:
    command = [*SCRATCH, "--corpus", mini_text, "--averaging", "0.9", "--tracking", "disabled"]
    command += ["--checkpoint-steps", "3"]
    place.run(*command)
    whole = place.path / "runs/scratch_lm/course-seed1/model/model.safetensors"
    expected = whole.read_bytes()
    (place.path / "runs").rename(place.path / "uninterrupted")
    place.kill_at(FileEvent("os.rename", "state.safetensors", 5), *command)
    place.run(*command, "--resume")
    assert whole.read_bytes() == expected
