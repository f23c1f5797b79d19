"""Two hosts, each a network namespace of this machine, train together until one is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.conftest import FINETUNE, HANGS, ROOT, SCRATCH, Place
from tests.run_records import read_losses

pytestmark = pytest.mark.slow
HOSTS = ("study-a", "study-b")
ADDRESSES = ("10.213.7.1", "10.213.7.2")
DEVICE = "cable0"  # its name on both hosts
# Sums in another order are rounded differently, and over 30 epochs this adds up: to 1e-4 in some
# runs.  The losses of neighboring log lines differ by much more.
ROUNDING = 1e-3


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[None]:
    """Connect two network namespaces by a cable."""
    if not shutil.which("ip"):
        pytest.skip("no command ip (Debian's package iproute2)")
    try:
        for host in HOSTS:
            ip("netns", "add", host)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces: {error.stderr.decode()}")
    try:
        peer = ("peer", "name", DEVICE, "netns", HOSTS[1])
        ip("-n", HOSTS[0], "link", "add", DEVICE, "type", "veth", *peer)
        for host, address in zip(HOSTS, ADDRESSES, strict=True):
            ip("-n", host, "addr", "add", f"{address}/24", "dev", DEVICE)
            for device in (DEVICE, "lo"):
                ip("-n", host, "link", "set", device, "up")
        yield
    finally:
        for host in HOSTS:
            with suppress(subprocess.CalledProcessError):
                ip("netns", "delete", host)


def torchrun(rank: int) -> list[object]:
    """Return the arguments that start one process on each of two hosts, on the host `rank`."""
    return [
        *("torch.distributed.run", "--nnodes", 2, "--node-rank", rank, "--nproc-per-node", 1),
        *("--master-addr", ADDRESSES[0], "--master-port", 29500, "-m"),
    ]


def accelerate_with_fsdp(rank: int) -> list[object]:
    """Return the same for accelerate, with which the processes share the model."""
    return [
        *("accelerate.commands.launch", "--config_file", ROOT / "gpt2_finetune/fsdp.yaml"),
        *("--num_machines", 2, "--machine_rank", rank, "--num_processes", 2),
        *("--main_process_ip", ADDRESSES[0], "--main_process_port", 29500),
        ROOT / "tests/gpt2_finetune/shard_on_cpu.py",
    ]


def start(
    place: Place,
    rank: int,
    command: list[object],
    launcher: Callable[[int], list[object]] = torchrun,
) -> subprocess.Popen[str]:
    """Start the launcher of one of the two processes, on its host."""
    return subprocess.Popen(
        [
            *("ip", "netns", "exec", HOSTS[rank], sys.executable, "-m"),
            *map(str, [*launcher(rank), *command]),
        ],
        cwd=place.path,
        env=place.environment | {"PATH": os.environ["PATH"], "GLOO_SOCKET_IFNAME": DEVICE},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("track", ["scratch_lm", "gpt2_finetune"])
def test_when_a_host_is_lost_the_other_ends_with_one_line_and_one_process_can_resume(
    place: Place, mini_text: Path, tiny_base: Path, hosts: None, track: str
) -> None:
    tracks: dict[str, list[object]] = {
        "scratch_lm": list(SCRATCH),
        "gpt2_finetune": [*FINETUNE, "--base", tiny_base, "--precision", "fp32"],
    }
    command: list[object] = [*tracks[track], "--corpus", mini_text, "--tracking", "disabled"]
    command += ["--epochs", 30, "--patience", 30, "--checkpoint-steps", 10]
    place.run(*command)
    (alone,) = (place.path / "runs" / track).glob("*-seed1")

    agents = [start(place, rank, command) for rank in range(2)]
    together = alone.with_name(f"{alone.name}-2")
    deadline = time.monotonic() + HANGS
    while not any((together / "checkpoint").glob("*")):
        assert time.monotonic() < deadline and all(agent.poll() is None for agent in agents)
        time.sleep(0.05)
    (lost,) = psutil.Process(agents[1].pid).children(recursive=True)
    lost.kill()
    survivor = agents[0].communicate(timeout=HANGS)[0]
    agents[1].communicate(timeout=HANGS)
    errors = [line for line in survivor.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "repeat the command with --resume" in errors[0]
    assert "[rank0]: Traceback" not in survivor

    place.run(*command, "--resume")
    assert json.loads((together / "run.json").read_text("utf-8"))["status"] == "complete"
    assert read_losses(together) == pytest.approx(read_losses(alone), rel=ROUNDING)
    assert sorted(path.name for path in alone.parent.glob("*-seed1*")) == [
        alone.name,
        together.name,
    ]


def test_two_hosts_that_share_a_model_get_the_losses_of_one_process(
    place: Place, mini_text: Path, tiny_base: Path, hosts: None
) -> None:
    command: list[object] = [*FINETUNE, "--base", tiny_base, "--precision", "fp32"]
    command += ["--corpus", mini_text, "--tracking", "disabled", "--device", "cpu"]
    command += ["--learning-rate", 0.003]  # the default for this size makes rounding errors grow
    place.run(*command)
    (alone,) = (place.path / "runs" / "gpt2_finetune").glob("*-seed1")

    agents = [start(place, rank, command, accelerate_with_fsdp) for rank in range(2)]
    for agent in agents:
        output = agent.communicate(timeout=HANGS)[0]
        assert agent.returncode == 0 and "trained with FSDP" in output, output
    together = alone.with_name(f"{alone.name}-2")
    assert json.loads((together / "run.json").read_text("utf-8"))["status"] == "complete"
    assert read_losses(together) == pytest.approx(read_losses(alone), rel=ROUNDING)
