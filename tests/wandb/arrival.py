"""Compare what arrived at the W&B server with what the run directory has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import HANGS, Place
from tests.run_records import read_lines
from tests.wandb.server import WandbServer

RUNS = {"scratch_lm": "scratch_lm/course-seed1", "gpt2_finetune": "gpt2_finetune/tiny-gpt2-seed1"}


def tracking(place: Place, track: str) -> dict[str, str]:
    return json.loads((place.path / "runs" / RUNS[track] / "run.json").read_text("utf-8"))[
        "tracking"
    ]


def weights(place: Place, track: str) -> bytes:
    return (place.path / "runs" / RUNS[track] / "model/model.safetensors").read_bytes()


def sync(place: Place, *offline_runs: Path | str) -> None:
    subprocess.run(
        [sys.executable, "-m", "wandb", "sync", *offline_runs],
        cwd=place.path,
        env=place.environment,
        check=True,
        capture_output=True,
        timeout=HANGS,
    )


def check_all_arrived(server: WandbServer, place: Place, track: str) -> None:
    """Check that the server has all that the run directory of a track has."""
    folder = place.path / "runs" / RUNS[track]
    record = json.loads((folder / "run.json").read_text("utf-8"))
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
