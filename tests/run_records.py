"""Made-up run records, for tests of code that reads them, and the lines of real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compare.kinds import BaseKind, RowKind, RunStatus, Track, TrackingMode
from compare.ruler.metrics import Metrics
from compare.ruler.parameters import Parameters
from compare.runs.history import StepsLine
from compare.runs.record import (
    Base,
    CorpusRecord,
    Epoch,
    RunRecord,
    SplitSize,
    TrackingRecord,
)

SIZE = SplitSize(chars=100, bytes=100)
CORPUS = CorpusRecord(
    name="text",
    source="file text",
    sha256="t",
    splits={"train": SIZE, "validation": SIZE, "test": SIZE},
)
BASE = Base(
    requested="some/base",
    resolved="some/base",
    kind=BaseKind.OTHER,
    revision="abc",
    source="Hub",
    folder="nowhere",
    weights_sha256="b",
)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a JSON Lines file, without the last one if it was not finished."""
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]


def read_losses(run: Path) -> list[float]:
    """Return the training and validation losses in the history of a run directory, in order."""
    lines = read_lines(run / "history.jsonl")
    return [line.get("train/loss", line.get("eval/loss")) for line in lines]


def make_steps_line() -> StepsLine:
    """Return a line of a history."""
    return StepsLine(
        step=1,
        epoch=0.5,
        characters_seen=50,
        loss=5.0,
        learning_rate=0.001,
        gradient_norm=1.0,
        characters_per_second=100,
        seconds=0.5,
    )


def make_metrics(nats: float = 200.0) -> Metrics:
    """Return the metrics of a text of 100 bytes."""
    return Metrics(
        nats=nats,
        bytes=100,
        chars=100,
        tokens=50,
        words=20,
        loss=nats / 50,
        bits_per_byte=nats / 69.3,
        nats_per_char=nats / 100,
        token_perplexity=9.0,
        word_perplexity=99.0,
    )


def make_epoch(nats: float = 200.0, number: int = 1) -> Epoch:
    return Epoch(
        epoch=number,
        train_loss=2.0,
        characters_seen=100 * number,
        seconds=1.0,
        eval=make_metrics(nats),
    )


def make_record(track: Track = Track.SCRATCH, **differing: Any) -> RunRecord:
    """Return the record of a complete run of one epoch, with `differing` fields."""
    scratch = track is Track.SCRATCH
    fields = {
        "track": track,
        "status": RunStatus.COMPLETE,
        "command": track.command,
        "config": {"corpus": "text", "seed": 1},
        "corpus": CORPUS,
        "preset": RowKind.COURSE if scratch else RowKind.FINE_TUNED,
        "seed": 1,
        "base": None if scratch else BASE,
        "parameters": Parameters(total=1000, non_embedding=500),
        "device": "CPU",
        "versions": {},
        "started": "2026-01-01T00:00:00Z",
        "epochs": [make_epoch()],
        "best_epoch": 1,
        "characters_per_second": 100,
        "tracking": TrackingRecord(project="study", mode=TrackingMode.DISABLED),
    }
    return RunRecord(**fields | differing)
