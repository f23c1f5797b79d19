"""Errors of W&B's server cost neither a weight nor, in the end, a value."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Place, killed_if_it_hangs
from tests.wandb.arrival import RUNS, check_all_arrived, sync, tracking, weights
from tests.wandb.server import CUT, HANG, KEY, WandbServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def untracked(
    tmp_path_factory: pytest.TempPathFactory, caches: Path, commands: dict[str, list[object]]
) -> Place:
    """Return a place with a run of each track without W&B."""
    place = Place(tmp_path_factory.mktemp("untracked"), caches)
    for command in commands.values():
        place.run(*command, "--tracking", "disabled")
    return place


@pytest.mark.parametrize("track", RUNS)
@pytest.mark.parametrize(
    ("faults", "begin_after"),
    [
        ({"": 401}, "HEAD"),  # from the start: the key is not valid
        ({"CommitArtifact": 403}, "file_stream"),  # only the model is refused
        ({"file_stream": 403}, "file_stream"),  # in the middle of the run
        ({"file_stream": 429}, "file_stream"),
        ({"file_stream": 500}, "file_stream"),
        ({"file_stream": CUT}, "file_stream"),
        ({"": HANG}, "file_stream"),
    ],
    ids=["401", "403 for the model", "403", "429", "500", "cut", "hang"],
)
def test_an_error_of_the_server_costs_no_weight_and_no_value(
    server: WandbServer,
    place: Place,
    untracked: Place,
    commands: dict[str, list[object]],
    track: str,
    faults: dict[str, int],
    begin_after: str,
) -> None:
    """The run trains on, says so in one line, and writes a copy for `wandb sync`."""
    server.faults, server.faults_begin_after = faults, begin_after
    place.environment |= {"WANDB_FINISH_TIMEOUT": "5"}
    done = place.run(*commands[track])
    assert weights(place, track) == weights(untracked, track)
    (line,) = [line for line in done.stderr.splitlines() if "W&B" in line or "wandb" in line]
    assert line.startswith("WARNING: W&B failed (") and "logged offline" in line
    assert tracking(place, track)["mode"] == "offline"
    where = tracking(place, track)["where"]
    assert f"wandb sync {where}" in done.stdout
    assert KEY not in done.stdout + done.stderr

    server.faults = {}
    sync(place, where)
    check_all_arrived(server, place, track)


@pytest.mark.parametrize("track", RUNS)
def test_ctrl_c_ends_the_upload_and_resume_repeats_it(
    server: WandbServer, place: Place, commands: dict[str, list[object]], track: str
) -> None:
    """The upload hangs; after Ctrl-C, W&B's client may still send what the server accepts."""
    server.faults, server.faults_begin_after = {"CommitArtifact": HANG}, "file_stream"
    place.environment |= {"WANDB_FINISH_TIMEOUT": "900"}
    run = place.path / "runs" / RUNS[track]
    process = subprocess.Popen(
        place._command(tuple(commands[track])),
        cwd=place.path,
        env=place.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    try:
        with killed_if_it_hangs(process):
            while not (run / "model").exists():
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            lines = []
            for line in process.stderr:
                lines.append(line)
                if line.startswith("error: "):
                    server.faults = {}
                    server.closed.set()  # requests that hang fail now, and are repeated
            assert process.wait() == 130
    finally:
        process.kill()
        process.wait()
    assert lines[-1] == "error: interrupted; to continue, repeat the command with --resume\n"
    assert json.loads((run / "run.json").read_text("utf-8"))["status"] == "running"
    place.run(*commands[track], "--resume")
    check_all_arrived(server, place, track)
