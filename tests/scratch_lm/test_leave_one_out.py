"""Each play is scored by a model that was trained without it."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from compare.errors import Interrupted, Misuse
from scratch_lm import leave_one_out
from scratch_lm.config import ScratchOptions
from scratch_lm.leave_one_out import LeaveOneOutOptions
from tests.conftest import Place


def test_each_play_is_scored_by_the_model_that_has_not_seen_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    trained: list[ScratchOptions] = []
    scored: list[str] = []

    def train(options: ScratchOptions) -> SimpleNamespace:
        trained.append(options)
        scores = SimpleNamespace(bits_per_byte=2.0 + len(trained))
        record = SimpleNamespace(best_scores=scores)
        return SimpleNamespace(path=Path(options.leave_out), record=record)

    def score(model: Path, tokenizer: None, text: str, label: str) -> SimpleNamespace:
        assert model == Path(label) / "model"
        scored.append(text)
        return SimpleNamespace(metrics=SimpleNamespace(bits_per_byte=float(len(scored))))

    monkeypatch.setattr(leave_one_out, "train", train)
    monkeypatch.setattr(leave_one_out.models, "load", lambda folder, device: (folder, None))
    monkeypatch.setattr(leave_one_out.scoring, "score", score)
    options = LeaveOneOutOptions(preset="tuned", seed=3, plays=["Coriolanus", "Richard II"])
    leave_one_out.leave_one_out(options)
    assert [each.leave_out for each in trained] == ["Coriolanus", "Richard II"]
    assert all(each.seed == 3 and each.resume for each in trained)
    assert scored[0].startswith("First Citizen:") and scored[1].startswith("KING RICHARD II:")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].split() == ["mean", "1.5000", "3.5000"]


def test_a_play_to_leave_out_is_named_by_plays_alone() -> None:
    with pytest.raises(ValueError, match="with --plays"):
        LeaveOneOutOptions(leave_out="Coriolanus")
    with pytest.raises(ValueError, match="are always continued"):
        LeaveOneOutOptions(resume=True)


@pytest.mark.parametrize("options", [("--preset", "record"), ("--teachers", "tuned-seed1")])
def test_teachers_are_refused_because_they_have_read_the_plays(
    place: Place, options: tuple[str, str]
) -> None:
    line = place.refused("scratch_lm.leave_one_out", *options)
    assert "--teachers cannot be used here" in line and "have read the plays left out" in line


def test_an_interruption_names_this_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(options: ScratchOptions) -> None:
        raise Interrupted(signal.SIGTERM, "python -m scratch_lm.train --resume")

    monkeypatch.setattr(leave_one_out, "train", train)
    with pytest.raises(Interrupted, match="to continue: repeat the same command") as ended:
        leave_one_out.leave_one_out(LeaveOneOutOptions(plays=["Coriolanus"]))
    assert ended.value.code == 143


def test_ctrl_c_while_a_model_is_scored_names_this_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(leave_one_out, "train", lambda options: SimpleNamespace(path=Path("run")))
    monkeypatch.setattr(leave_one_out.models, "load", load)
    with pytest.raises((Interrupted, KeyboardInterrupt), match="repeat the same command") as ended:
        leave_one_out.leave_one_out(LeaveOneOutOptions(plays=["Coriolanus"]))
    assert isinstance(ended.value, Interrupted) and ended.value.code == 130


def test_several_processes_are_refused_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leave_one_out.parallel, "WORLD_SIZE", 2)
    monkeypatch.setattr(leave_one_out, "train", lambda options: pytest.fail("trained"))
    with pytest.raises(Misuse, match="start it without torchrun"):
        leave_one_out.leave_one_out(LeaveOneOutOptions())
