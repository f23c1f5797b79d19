"""Histories of all versions are read, and what is damaged is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compare.errors import Misuse
from compare.runs import history
from compare.runs.history import EvaluationLine, StepsLine

STEPS = {
    "step": 20,
    "epoch": 0.5,
    "characters_seen": 500,
    "train/loss": 3.2,
    "train/learning_rate": 0.001,
    "train/gradient_norm": 1.5,
    "throughput/characters_per_second": 1000,
    "throughput/seconds": 0.5,
}
EVALUATION = {
    "epoch": 1,
    "characters_seen": 1000,
    "eval/loss": 3.0,
    "eval/bits_per_byte": 2.0,
    "eval/token_perplexity": 20.1,
}


def write(folder: Path, *lines: dict) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / history.HISTORY).write_text(text, "utf-8")


def test_lines_are_written_as_they_were_read(tmp_path: Path) -> None:
    write(tmp_path, STEPS, EVALUATION)
    lines = history.read_history(tmp_path)
    assert [type(line) for line in lines] == [StepsLine, EvaluationLine]
    assert [history.to_json(line) for line in lines] == [STEPS, EVALUATION]


def test_a_run_from_before_durations_were_recorded_is_read(tmp_path: Path) -> None:
    old = {key: value for key, value in STEPS.items() if key != "throughput/seconds"}
    write(tmp_path, old)
    (line,) = history.read_history(tmp_path)
    assert isinstance(line, StepsLine) and line.seconds is None
    assert history.to_json(line) == old


@pytest.mark.parametrize("text", ["5", "null", "[]", "{", ""])
def test_a_line_that_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / history.HISTORY).write_text(f"{text}\n", "utf-8")
    with pytest.raises(Misuse, match="line 1: "):
        history.read_history(tmp_path)


def test_what_is_wrong_with_a_line_is_said_of_its_own_kind(tmp_path: Path) -> None:
    write(tmp_path, EVALUATION, STEPS | {"train/loss": "3.2"})
    with pytest.raises(Misuse, match=r"line 2: steps\.train/loss: ") as refused:
        history.read_history(tmp_path)
    assert "eval" not in str(refused.value)
