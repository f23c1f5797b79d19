"""A signal during the drills that precede the text: no checkpoint, so the run starts again."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compare import cli
from compare.errors import Interrupted
from compare.runs.writer import Run
from scratch_lm import batches
from scratch_lm import train as training
from scratch_lm.batches import Batch
from scratch_lm.config import PRESETS, ScratchOptions
from tests.conftest import TINY
from tests.run_records import read_lines
from tests.scratch_lm.test_train import without_times

DRILLS = 5


@pytest.fixture
def options(
    tiny_shakespeare: str, restored_signals: None, monkeypatch: pytest.MonkeyPatch
) -> ScratchOptions:
    """Return options for a tiny model, trained with the recipe of `tuned` but for fewer drills."""
    monkeypatch.setattr(batches, "FIRST_DRILL_STEPS", DRILLS)
    monkeypatch.setattr(Run, "interrupted", interrupted)
    Path("text.txt").write_text(tiny_shakespeare[:4000], "utf-8")
    tiny = TINY | {"epochs": 2, "dropout": 0.1}
    return ScratchOptions(**PRESETS["tuned"] | tiny, preset="tuned", tracking="disabled")


def interrupted(run: Run, number: int, really: Any = Run.interrupted) -> Interrupted:
    """Do what a run does after a signal, and release its lock, as the end of the process does."""
    stopped = really(run, number)
    run.release()
    return stopped


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that receives "drill" or "text" after each training step."""
    steps: list[str] = []
    after_step(monkeypatch, lambda batch: steps.append("text" if has_text(batch) else "drill"))
    return steps


def has_text(batch: Batch) -> bool:
    return bool((batch.positions >= 0).any())


def after_step(monkeypatch: pytest.MonkeyPatch, call: Callable[[Batch], object]) -> None:
    """Let each training step call `call` with its batch, at its end."""
    step = training.train_step

    def train_step(network: Any, optimizers: Any, batch: Batch, *others: Any) -> Any:
        result = step(network, optimizers, batch, *others)
        call(batch)
        return result

    monkeypatch.setattr(training, "train_step", train_step)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("drill", [1, DRILLS])
def test_a_run_stopped_during_its_drills_starts_again_and_gets_the_same_weights(
    options: ScratchOptions,
    steps: list[str],
    monkeypatch: pytest.MonkeyPatch,
    drill: int,
    number: signal.Signals,
) -> None:
    straight = training.train(options)
    uninterrupted = steps.copy()
    assert uninterrupted[:DRILLS] == ["drill"] * DRILLS and set(steps[DRILLS:]) == {"text"}

    steps.clear()
    with monkeypatch.context() as patch, pytest.raises(Interrupted) as stopped:
        after_step(patch, lambda _: len(steps) == drill and signal.raise_signal(number))
        training.train(options)
    assert steps == ["drill"] * drill  # that one was the last
    assert stopped.value.code == 128 + number
    message, command = str(stopped.value).split("python -m scratch_lm.train ")
    assert message == "interrupted; to continue: "
    resumed_options = cli.parse(ScratchOptions, PRESETS, shlex.split(command))
    assert resumed_options == replace(options, resume=True)

    steps.clear()
    resumed = training.train(resumed_options)
    assert resumed.path == straight.path.with_name("tuned-seed1-2") and resumed.complete
    assert steps == uninterrupted
    models = [(run.path / "model/model.safetensors").read_bytes() for run in (straight, resumed)]
    assert models[0] == models[1]
    histories = [read_lines(run.path / "history.jsonl") for run in (straight, resumed)]
    assert without_times(histories[0]) == without_times(histories[1])


def test_drills_are_not_repeated_when_a_run_goes_on_after_them(
    options: ScratchOptions, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    training.train(options)
    uninterrupted = steps.copy()

    steps.clear()
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        after_step(patch, lambda batch: has_text(batch) and signal.raise_signal(signal.SIGTERM))
        training.train(options)
    assert steps == uninterrupted[: DRILLS + 1]
    training.train(replace(options, resume=True))
    assert steps == uninterrupted
