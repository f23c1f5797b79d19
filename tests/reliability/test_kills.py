"""A run that is killed and resumed twenty times gives the result of an uninterrupted run."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.conftest import FINETUNE, SCRATCH, Place
from tests.file_events import FileEvent
from tests.run_records import read_lines as lines
from tests.scratch_lm.test_train import without_times

RANDOM_KILLS = 16
# The file whose renaming completes a checkpoint.
CHECKPOINTS = {"scratch_lm": "state.safetensors", "gpt2_finetune": "sha256.json"}


def kills(track: str) -> list[FileEvent]:
    """Return when the run is killed, beginning with what occurs early in a run.

    No event depends on the speed of the machine.  Between two of the random ones are at most two
    checkpoints, so that the run does not end before the last of them.
    """
    checkpoint = [FileEvent("os.rename", CHECKPOINTS[track], count) for count in (1, 2, 3)]
    generator = random.Random(8)
    anywhere = [*checkpoint, FileEvent("open", "history.jsonl", 1)]
    return [
        FileEvent("os.rename", "run.json", 2),  # before the first step
        checkpoint[1],
        *(generator.choice(anywhere) for _ in range(RANDOM_KILLS)),
        FileEvent("open", "samples.jsonl", 1),  # after an evaluation, before it is recorded
        checkpoint[1],
        FileEvent("os.rename", "model", 1),
        FileEvent("os.rename", "latest", 1),  # before the record is complete
    ]


@pytest.mark.slow
@pytest.mark.parametrize("track", CHECKPOINTS)
def test_twenty_kills_leave_no_trace(
    place: Place, mini_text: Path, tiny_base: Path, track: str
) -> None:
    common = ["--corpus", mini_text, "--tracking", "disabled", "--checkpoint-steps", "8"]
    if track == "scratch_lm":
        command, run = [*SCRATCH, *common, "--epochs", "12", "--dropout", "0.1"], "course-seed1"
    else:
        common += ["--epochs", "8", "--patience", "8"]
        command, run = [*FINETUNE, *common, "--base", tiny_base], "tiny-gpt2-seed1"
    killed = place.path / "runs" / track / run
    for event in kills(track):
        place.kill_at(event, *command, "--resume")
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
