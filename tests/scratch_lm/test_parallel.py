"""Sharing a batch between processes, and other options that only change how sums are computed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from compare.errors import Misuse
from scratch_lm import parallel
from tests.conftest import HANGS, SCRATCH, Place
from tests.run_records import read_losses

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
