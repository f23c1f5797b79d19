"""A run that is killed and resumed twenty times gives the result of an uninterrupted run."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import FINETUNE, SCRATCH, Place
from tests.run_records import read_lines as lines
from tests.scratch_lm.test_train import without_times

RANDOM_KILLS = 16


class Life:
    """A training process that can be watched and killed."""

    def __init__(self, place: Place, command: list[object], log: Path) -> None:
        self.process = subprocess.Popen(
            place._command((*command, "--resume")),
            cwd=place.path,
            env=place.environment,
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
        )
        self.log = log

    def kill_when(self, ready: Callable[[], bool]) -> bool:
        """Kill the process once `ready()`; return False if it ended before."""
        while self.process.poll() is None:
            if ready():
                self.process.send_signal(signal.SIGKILL)
                self.process.wait()
                return True
            time.sleep(0.001)
        assert self.process.returncode == 0, self.log.read_text()
        return False

    def training(self) -> bool:
        return "step " in self.log.read_text()


def moments(run: Path, generator: random.Random) -> list[tuple[str, Callable[[Life], bool]]]:
    """Return the conditions for the kills, beginning with those that occur early in a run."""

    def exists(pattern: str) -> Callable[[Life], bool]:
        return lambda life: any(run.glob(pattern))

    def after(seconds: float) -> Callable[[Life], bool]:
        began: list[float] = []

        def ready(life: Life) -> bool:
            if not began and life.training():
                began.append(time.monotonic())
            return bool(began) and time.monotonic() > began[0] + seconds

        return ready

    def writes_checkpoint(life: Life) -> bool:
        torn = (
            path
            for path in run.glob("checkpoint/checkpoint-*")
            if not (path / "sha256.json").exists()
        )
        return any(run.glob("checkpoint/.state*")) or any(torn)

    def evaluates(life: Life) -> bool:
        last = (lines(run / "history.jsonl") or [{}])[-1]
        return life.training() and "train/loss" in last and last["epoch"] == int(last["epoch"])

    anywhere = [("at a random time", after(generator.uniform(0, 0.8))) for _ in range(RANDOM_KILLS)]
    return [
        ("before the first step", exists("run.json")),
        ("while a checkpoint is written", writes_checkpoint),
        *anywhere,
        ("during evaluation", evaluates),
        ("while a checkpoint is written, later", writes_checkpoint),
        ("while the model is saved", exists(".model/*")),
        ("before the record is complete", exists("model/*")),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("track", ["scratch_lm", "gpt2_finetune"])
def test_twenty_kills_leave_no_trace(
    place: Place, mini_text: Path, tiny_base: Path, track: str, capsys: pytest.CaptureFixture
) -> None:
    common = ["--corpus", mini_text, "--tracking", "disabled", "--checkpoint-steps", "8"]
    common += ["--sample-characters", "300"]  # with short samples, the end would come too soon
    if track == "scratch_lm":  # so fast that fewer epochs would end before the random kills do
        command, run = [*SCRATCH, *common, "--epochs", "12", "--dropout", "0.1"], "course-seed1"
    else:
        command, run = [*FINETUNE, *common, "--epochs", "4", "--base", tiny_base], "tiny-gpt2-seed1"
    killed = place.path / "runs" / track / run
    kills: dict[str, int] = {}
    generator = random.Random(8)
    for number, (name, ready) in enumerate(moments(killed, generator)):
        life = Life(place, command, place.path / f"life-{number}.log")
        if not life.kill_when(lambda ready=ready, life=life: ready(life)):
            break
        kills[name] = kills.get(name, 0) + 1
    place.run(*command, "--resume")
    place.run(*command)
    straight = killed.with_name(f"{run}-2")
    for path in (killed, straight):
        assert json.loads((path / "run.json").read_text())["status"] == "complete"
    weights = [(path / "model/model.safetensors").read_bytes() for path in (killed, straight)]
    assert weights[0] == weights[1]
    histories = [without_times(lines(path / "history.jsonl")) for path in (killed, straight)]
    assert histories[0] == histories[1]
    assert lines(killed / "samples.jsonl") == lines(straight / "samples.jsonl")
    with capsys.disabled():
        print(f"\n{track}: {sum(kills.values())} kills survived: {kills}")
    assert sum(kills.values()) >= 15 and len(kills) >= 4
