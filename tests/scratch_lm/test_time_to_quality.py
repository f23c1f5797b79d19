"""Evaluating within epochs changes neither the weights nor the time, and what is printed of it."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from compare.errors import Failure, Interrupted, Misuse
from scratch_lm import journal, time_to_quality
from scratch_lm import train as training
from scratch_lm.config import ScratchOptions
from scratch_lm.model import ScratchLM
from scratch_lm.time_to_quality import Reading, TimeToQualityOptions
from tests.conftest import TINY
from tests.run_records import make_metrics

MINIATURE = TINY | {"dropout": 0.1, "epochs": 2}


@pytest.fixture
def here(
    tmp_path: Path,
    tiny_shakespeare: str,
    restored_signals: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    monkeypatch.setattr(training, "evaluate", lambda *_: make_metrics())
    monkeypatch.setattr(training.sampling, "samples", lambda *_: [])
    Path("text.txt").write_text(tiny_shakespeare[:4000], "utf-8")
    return tmp_path


def test_observing_changes_neither_the_weights_nor_the_time(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count()
    pauses: list[float] = []
    monkeypatch.setattr(
        journal, "time", SimpleNamespace(perf_counter=lambda: next(ticks) + 1000 * len(pauses))
    )
    seen: list[tuple[float, float]] = []

    def observe(model: ScratchLM, seconds: float, epochs: float) -> None:
        model.eval()
        F.dropout(torch.ones(3))  # uses random numbers, as sampling does
        model.train()
        pauses.append(1000)  # of the clock
        seen.append((seconds, epochs))

    monkeypatch.setattr(training, "LOGGING_STEPS", 2)
    options = ScratchOptions(**MINIATURE, tracking="disabled")
    observed, plain = training.train(options, observe), training.train(options)
    saved = [run.path / "model/model.safetensors" for run in (observed, plain)]
    assert saved[0].read_bytes() == saved[1].read_bytes()
    assert seen == sorted(seen) and seen[-1][1] == 2 and len(seen) > 2
    assert seen[-1][0] < 1000
    assert sum(epoch.seconds for epoch in observed.record.epochs) == pytest.approx(seen[-1][0])


def test_the_command_prints_the_times_and_keeps_no_run(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    scores = iter([3.0, 2.5, 2.1, 1.96])

    def train(options: ScratchOptions, observe: journal.Observer) -> None:
        assert options.tracking == "disabled" and Path(options.corpus) == here / "text.txt"
        print("runs/scratch_lm/course-seed1: new")
        Path("runs").mkdir()
        for seconds in (50.0, 59.0, 110.0, 130.0):
            observe(None, seconds, seconds / 100)

    def score(*_: object) -> SimpleNamespace:
        return SimpleNamespace(metrics=SimpleNamespace(bits_per_byte=next(scores)))

    monkeypatch.setattr(time_to_quality, "train", train)
    monkeypatch.setattr(time_to_quality.scoring, "score", score)
    time_to_quality.measure(TimeToQualityOptions(**MINIATURE))
    assert capsys.readouterr().out.splitlines() == [
        "course on validation, with learning rates that decay over all 130 s of training:",
        "2.12 bits/byte   after 110 s, in epoch 1.10",
        "after 60 s      2.500 bits/byte",
        "after 120 s     2.100 bits/byte",
        "after 300 s     training ended after 130 s, at 1.960 bits/byte",
    ]
    assert [path.name for path in here.iterdir()] == ["text.txt"]


def test_a_diverging_training_names_no_checkpoint_because_none_is_kept(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([9.0, 9.0, float("nan")])
    monkeypatch.setattr(
        training, "train_step", lambda *_: journal.StepResult(next(losses), 100, 1.0)
    )
    options = TimeToQualityOptions(**MINIATURE, checkpoint_steps=1)
    with pytest.raises(Failure, match=r"the loss of step 3 is nan: try a lower learning rate$"):
        time_to_quality.train_with_readings(options)
    assert [path.name for path in here.iterdir()] == ["text.txt"]


def test_ctrl_c_says_that_nothing_was_kept(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time_to_quality, "train", train)
    with pytest.raises((Interrupted, KeyboardInterrupt), match="nothing was kept") as ended:
        time_to_quality.train_with_readings(TimeToQualityOptions(**MINIATURE))
    assert isinstance(ended.value, Interrupted) and ended.value.code == 130


def test_a_score_that_is_never_reached_or_not_measured_yet_is_named_as_such() -> None:
    readings = [Reading(70.0, 0.5, 2.2), Reading(400.0, 2.0, 2.125)]
    described = time_to_quality.describe_time_to(2.12, readings)
    assert described == "not reached: the best is 2.125"
    assert time_to_quality.describe_score_after(60, readings).startswith("no score yet")
    assert time_to_quality.describe_score_after(120, readings) == "2.200 bits/byte"


@pytest.mark.parametrize(
    ("differing", "words"),
    [
        ({"resume": True}, "the run is not kept"),
        ({"tracking": "online"}, "the run is not kept"),
        ({"teachers": ["tuned-seed1"]}, "--teachers cannot be used here"),
        ({"target": float("nan")}, "--target is nan"),
    ],
)
def test_options_without_meaning_here_are_refused(differing: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TimeToQualityOptions(**differing)


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_to_quality.parallel, "WORLD_SIZE", 2)
    with pytest.raises(Misuse, match="start it without torchrun"):
        time_to_quality.measure(TimeToQualityOptions())
