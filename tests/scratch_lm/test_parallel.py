"""Sharing a batch between processes, and other options that only change how sums are computed."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from compare.errors import Misuse
from scratch_lm import parallel
from tests.conftest import HANGS, SCRATCH, Place, killed_if_it_hangs
from tests.run_records import read_lines, read_losses

RUN = Path("runs/scratch_lm/course-seed1")
# Relative.  Sums in another order are rounded differently, by an amount that depends on the CPU and
# grows over the steps.
ROUNDING = 1e-4
# 7 rows for 2 processes: uneven shares, and one process may get no rows of the last batch.
COMMAND = [*SCRATCH, "--batch-size", "7", "--drills", "--rename", "0.5", "--tracking", "disabled"]


def torchrun(place: Place, *arguments: object) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*launcher, "--nproc-per-node", "2", "-m", *map(str, arguments)],
        cwd=place.path,
        env=place.environment | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=HANGS,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def single_process_losses(place: Place, mini_text: Path) -> list[float]:
    place.run(*COMMAND, "--corpus", mini_text)
    return read_losses(place.path / RUN)


def test_two_processes_have_the_losses_of_one(
    place: Place, mini_text: Path, single_process_losses: list[float]
) -> None:
    torchrun(place, *COMMAND, "--corpus", mini_text)
    together = place.path / RUN.with_name("course-seed1-2")
    assert read_losses(together) == pytest.approx(single_process_losses, rel=ROUNDING)
    record = json.loads((together / "run.json").read_text("utf-8"))
    assert record["status"] == "complete" and len(record["epochs"]) == 3


def stop_after_a_step(place: Place, *command: object) -> list[str]:
    """Run `command`, with SIGTERM as soon as it shows a step; return the lines that it prints."""
    folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # torchrun's first
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=place.path,
        env=place.environment | {"PATH": folders},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    shown, is_stopped = [], False
    with killed_if_it_hangs(process):
        for line in process.stdout:
            shown.append(line)
            if ", step " in line and not is_stopped:
                process.send_signal(signal.SIGTERM)
                is_stopped = True
        process.wait()
    assert is_stopped, "".join(shown)
    return shown


@pytest.mark.slow
def test_two_processes_that_are_stopped_print_once_how_to_continue(
    place: Place, mini_text: Path
) -> None:
    launcher = ["torchrun", "--nproc-per-node", "2", "-m"]
    command = [*launcher, *COMMAND, "--corpus", mini_text, "--epochs", "200"]
    seen = [0]
    for _ in range(2):  # the second time, with the printed command
        shown = stop_after_a_step(place, *command)
        (error,) = [line for line in shown if line.startswith("error: ")]
        command = shlex.split(error.partition("to continue: ")[2])
        assert command[:4] == launcher and command[-1] == "--resume"
        lines = read_lines(place.path / RUN / "history.jsonl")
        steps = [line["step"] for line in lines if "step" in line]
        assert steps == sorted(set(steps)) and steps[-1] > seen[-1]
        assert seen == [0] or steps[: len(seen)] == seen  # it goes on after the very step
        seen = steps


@pytest.mark.parametrize(
    ("device", "words"),
    [("cuda", "torch finds 1 GPU, which is fewer"), ("mps", "cannot share an Apple GPU")],
)
def test_processes_that_cannot_share_the_gpus_are_refused(
    monkeypatch: pytest.MonkeyPatch, device: str, words: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(Misuse, match=f"{words}.* use --device cpu"):
        parallel.init_process_group(torch.device(device))


@pytest.mark.slow
def test_bf16_gives_the_same_losses_up_to_rounding(
    place: Place, mini_text: Path, single_process_losses: list[float]
) -> None:
    place.run(*COMMAND, "--corpus", mini_text, "--precision", "bf16")
    rounded = read_losses(place.path / RUN.with_name("course-seed1-2"))
    assert rounded == pytest.approx(single_process_losses, rel=5e-3)
    assert rounded != single_process_losses


@pytest.mark.slow
def test_a_compiled_model_trains_to_the_same_losses(
    place: Place, mini_text: Path, single_process_losses: list[float]
) -> None:
    place.run(*COMMAND, "--corpus", mini_text, "--compile")
    compiled = place.path / RUN.with_name("course-seed1-2")
    assert read_losses(compiled) == pytest.approx(single_process_losses, rel=ROUNDING)
    assert json.loads((compiled / "run.json").read_text("utf-8"))["status"] == "complete"
