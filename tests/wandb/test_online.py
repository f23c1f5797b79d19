"""The real W&B client logs online to a server on loopback; errors cost its copy, never training."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compare.runs.writer import read_lines
from tests.conftest import FINETUNE, SCRATCH, Place
from tests.wandb.server import CUT, HANG, KEY, WandbServer

pytestmark = pytest.mark.slow
README = Path(__file__).parents[2] / "README.md"
OFFLINE_RUNS = "runs/*/*-seed*/wandb/offline-run-*"
RUNS = {"scratch_lm": "scratch_lm/course-seed1", "gpt2_finetune": "gpt2_finetune/tiny-gpt2-seed1"}


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with WandbServer() as server:
        yield server


@pytest.fixture
def place(place: Place, server: WandbServer) -> Place:
    """Return an empty place where the user is logged in to the server."""
    place.environment |= server.environment
    return place


@pytest.fixture
def commands(mini_text: Path, tiny_base: Path) -> dict[str, list[object]]:
    """Return the training command of each track, as the study runs it."""
    finetune = [*FINETUNE, "--base", tiny_base, "--learning-rate", "0.003"]
    commands = {"scratch_lm": SCRATCH, "gpt2_finetune": finetune}
    return {track: [*command, "--corpus", mini_text] for track, command in commands.items()}


def tracking(place: Place, track: str) -> dict[str, str]:
    return json.loads((place.path / "runs" / RUNS[track] / "run.json").read_text())["tracking"]


def weights(place: Place, track: str) -> bytes:
    return (place.path / "runs" / RUNS[track] / "model/model.safetensors").read_bytes()


def sync(place: Place, *offline_runs: Path | str) -> None:
    subprocess.run(
        [sys.executable, "-m", "wandb", "sync", *offline_runs],
        cwd=place.path,
        env=place.environment,
        check=True,
        capture_output=True,
        timeout=240,
    )


def check_all_arrived(server: WandbServer, place: Place, track: str) -> None:
    """Check that the server has all that the run directory of a track has."""
    folder = place.path / "runs" / RUNS[track]
    record = json.loads((folder / "run.json").read_text())
    run = server.runs[record["tracking"]["id"]]
    assert [row for row in run.history if "epoch" in row] == read_lines(folder / "history.jsonl")
    assert run.exit_code == 0

    assert run.about["project"] == "tiny-shakespeare-study"
    assert run.about["groupName"] == record["corpus"]["name"]
    assert run.about["jobType"] == track and run.about["displayName"] == RUNS[track]
    assert run.config == record["config"] | {"corpus_sha256": record["corpus"]["sha256"]}
    assert run.axes == dict.fromkeys(("train/*", "eval/*", "throughput/*"), "characters_seen")
    scores = [epoch["eval"]["bits_per_byte"] for epoch in record["epochs"]]
    assert run.summary["best/bits_per_byte"] == min(scores)
    assert run.summary["final/bits_per_byte"] == scores[-1]

    table = json.loads(run.files[run.summary["samples"]["path"]])
    samples = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert samples == [
        {key: sample[key] for key in table["columns"]}
        for sample in read_lines(folder / "samples.jsonl")
    ]
    model = {file.name: file.read_bytes() for file in (folder / "model").iterdir()}
    assert any(
        artifact.type == "model" and artifact.committed and artifact.files.items() >= model.items()
        for artifact in server.artifacts
    )
    assert server.unknown == []


@pytest.mark.parametrize("track", RUNS)
def test_all_values_arrive_online(
    server: WandbServer,
    place: Place,
    study: Place,
    commands: dict[str, list[object]],
    track: str,
) -> None:
    done = place.run(*commands[track])
    check_all_arrived(server, place, track)
    assert tracking(place, track)["mode"] == "online"
    assert f"W&B: online at {tracking(place, track)['where']}" in done.stdout
    assert "W&B" not in done.stderr and "wandb" not in done.stderr
    assert KEY not in done.stdout + done.stderr
    assert weights(place, track) == weights(study, track)


@pytest.mark.parametrize(
    ("track", "faults", "begin_after"),
    [
        ("scratch_lm", {"": 401}, "HEAD"),  # from the start: the key is not valid
        ("scratch_lm", {"": 403}, "file_stream"),  # from here on, in the middle of the run
        ("scratch_lm", {"file_stream": 429}, "file_stream"),
        ("scratch_lm", {"file_stream": 500, "PUT": 500}, "file_stream"),
        ("scratch_lm", {"CommitArtifact": 403}, "file_stream"),  # only the model is refused
        ("scratch_lm", {"file_stream": CUT}, "file_stream"),
        ("scratch_lm", {"": HANG}, "file_stream"),
        ("gpt2_finetune", {"": 401}, "file_stream"),
        ("gpt2_finetune", {"file_stream": HANG}, "file_stream"),
    ],
)
def test_an_error_of_the_server_costs_no_weight_and_no_value(
    server: WandbServer,
    place: Place,
    study: Place,
    commands: dict[str, list[object]],
    track: str,
    faults: dict[str, int],
    begin_after: str,
) -> None:
    """The run trains on, says so in one line, and writes a copy for `wandb sync`."""
    server.faults, server.faults_begin_after = faults, begin_after
    place.environment |= {"WANDB_FINISH_TIMEOUT": "5"}
    done = place.run(*commands[track], timeout=600)
    assert weights(place, track) == weights(study, track)
    (line,) = [line for line in done.stderr.splitlines() if "W&B" in line or "wandb" in line]
    assert line.startswith("WARNING: W&B failed (") and "logged offline" in line
    assert tracking(place, track)["mode"] == "offline"
    where = tracking(place, track)["where"]
    assert f"wandb sync {where}" in done.stdout
    assert KEY not in done.stdout + done.stderr

    server.faults = {}
    sync(place, where)
    check_all_arrived(server, place, track)


def test_a_resumed_run_is_the_same_wandb_run_without_doubled_rows(
    server: WandbServer, place: Place, commands: dict[str, list[object]]
) -> None:
    command = [*commands["scratch_lm"], "--checkpoint-steps", 10]
    place.kill_at("os.rename", "state.safetensors", 2, *command)
    place.run(*command, "--resume")
    assert list(server.runs) == [tracking(place, "scratch_lm")["id"]]
    check_all_arrived(server, place, "scratch_lm")


def test_the_command_in_the_readme_uploads_what_was_logged_offline(
    server: WandbServer, place: Place, study: Place
) -> None:
    assert f"wandb sync {OFFLINE_RUNS}" in README.read_text()
    shutil.copytree(study.path / "runs", place.path / "runs", symlinks=True)
    offline_runs = list(place.path.glob(OFFLINE_RUNS))
    assert len({path.resolve() for path in offline_runs}) == len(offline_runs)  # none by `latest`
    sync(place, *offline_runs)
    for track in RUNS:
        check_all_arrived(server, place, track)
