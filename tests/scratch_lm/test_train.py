"""The scratch track on the command line: output files, resuming, and refused options."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.conftest import SCRATCH, Place
from tests.file_events import FileEvent
from tests.run_records import read_lines

RUN = Path("runs/scratch_lm/course-seed1")


def without_times(history: list[dict]) -> list[dict]:
    return [
        {key: value for key, value in line.items() if not key.startswith("throughput/")}
        for line in history
    ]


def test_the_run_record_holds_configuration_and_results(study: Place) -> None:
    run = json.loads((study.path / RUN / "run.json").read_text("utf-8"))
    assert run["status"] == "complete" and run["track"] == "scratch_lm"
    assert run["corpus"]["splits"]["train"]["chars"] == 27_000
    losses = [epoch["eval"]["bits_per_byte"] for epoch in run["epochs"]]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 5.2
    assert run["best_epoch"] == 3
    assert [epoch["characters_seen"] for epoch in run["epochs"]] == [27_000, 54_000, 81_000]
    assert all(epoch["eval"]["bytes"] == 1500 for epoch in run["epochs"])
    assert not run["trainer_loaded"]
    assert run["tracking"]["mode"] == "offline"
    assert list((study.path / run["tracking"]["where"]).glob("*.wandb"))
    assert (study.path / "runs/scratch_lm/latest").resolve().name == "tuned-seed1"
    assert not (study.path / RUN / "checkpoint").exists()


def test_history_and_samples_follow_the_contract(study: Place) -> None:
    history = read_lines(study.path / RUN / "history.jsonl")
    train = [line for line in history if "train/loss" in line]
    assert set(train[0]) == {
        "step",
        "epoch",
        "characters_seen",
        "train/loss",
        "train/learning_rate",
        "train/gradient_norm",
        "throughput/characters_per_second",
        "throughput/seconds",
    }
    assert all(line["train/gradient_norm"] > 0 for line in train)
    evaluated = [line for line in history if "eval/loss" in line]
    assert [line["epoch"] for line in evaluated] == [1, 2, 3]
    assert {"eval/bits_per_byte", "eval/token_perplexity"} < evaluated[0].keys()
    samples = read_lines(study.path / RUN / "samples.jsonl")
    assert [sample["epoch"] for sample in samples] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert all(len(sample["text"]) == 40 for sample in samples)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_teacher_with_another_account_may_read_the_whole_model(study: Place) -> None:
    files = (study.path / RUN / "model").iterdir()
    assert len({stat.filemode(file.stat().st_mode) for file in files}) == 1


@pytest.mark.parametrize("lines_before", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_run_resumes_to_the_same_weights_and_history(
    place: Place, mini_text: Path, lines_before: int
) -> None:
    command = [*SCRATCH, "--corpus", mini_text, "--tracking", "disabled"]
    command += ["--checkpoint-steps", "20", "--dropout", "0.1"]
    place.kill_at(FileEvent("open", "history.jsonl", lines_before + 1), *command)
    assert len(read_lines(place.path / RUN / "history.jsonl")) == lines_before
    assert json.loads((place.path / RUN / "run.json").read_text("utf-8"))["status"] == "running"
    assert "resumed" in place.run(*command, "--resume").stdout
    place.run(*command)
    resumed, straight = (place.path / RUN.with_name(n) for n in ("course-seed1", "course-seed1-2"))
    assert (resumed / "model/model.safetensors").read_bytes() == (
        straight / "model/model.safetensors"
    ).read_bytes()
    histories = [without_times(read_lines(path / "history.jsonl")) for path in (resumed, straight)]
    assert histories[0] == histories[1]
    assert read_lines(resumed / "samples.jsonl") == read_lines(straight / "samples.jsonl")


def test_resume_of_a_complete_run_does_nothing(study: Place, mini_text: Path) -> None:
    before = (study.path / RUN / "run.json").read_bytes()
    assert "complete" in study.run(*SCRATCH, "--corpus", mini_text, "--resume").stdout
    assert (study.path / RUN / "run.json").read_bytes() == before


def test_resume_under_another_configuration_is_refused(place: Place, mini_text: Path) -> None:
    command = [*SCRATCH, "--corpus", mini_text, "--tracking", "disabled"]
    place.kill_at(FileEvent("open", "history.jsonl", 2), *command)
    line = place.refused(*command, "--dropout", "0.1", "--resume")
    assert "dropout was 0.0 and is now 0.1" in line


def test_the_saved_model_is_that_of_the_best_epoch(study: Place) -> None:
    """Scoring the saved model again gives the recorded validation score."""
    from compare.ruler import scoring
    from compare.runs import models

    run = json.loads((study.path / RUN / "run.json").read_text("utf-8"))
    model, tokenizer = models.load(study.path / RUN / "model")
    text = Path(run["config"]["corpus"]).read_text("utf-8")[27_000:28_500]
    rescored = scoring.score(model, tokenizer, text).metrics
    recorded = run["epochs"][run["best_epoch"] - 1]["eval"]
    assert rescored.nats == pytest.approx(recorded["nats"], rel=1e-5)
    assert load_file(study.path / RUN / "model/model.safetensors")["tokens.weight"].shape[0] == 400


def test_a_vocabulary_larger_than_the_text_allows_is_refused(place: Place, mini_text: Path) -> None:
    line = place.refused("scratch_lm.train", "--corpus", mini_text, "--vocabulary", "5000")
    assert "lower --vocabulary from 5000" in line


@pytest.mark.slow
def test_the_benchmark_measures_every_ratio(place: Place) -> None:
    output = place.run("scratch_lm.bench", "--repetitions", 1).stdout
    for ratio in (
        r"\d+ GFLOP/s = \d+% of it",
        r"tuned is \d+\.\d+ times as fast",
        r"without any feature .* \d+\.\d+ times as fast as the GPT, in \d+% of the time of tuned",
        r"cached is \d+\.\d+ times as fast",
    ):
        assert re.search(ratio, output), output


def test_a_share_shorter_than_the_context_is_refused_before_a_run_exists(
    place: Place, mini_text: Path
) -> None:
    share = ["--corpus", mini_text, "--train-share", 0.02, "--vocabulary", 300]
    line = place.refused("scratch_lm.train", *share, "--context-length", 400)
    assert "too few for one block of 400" in line and "--train-share" in line
    assert not (place.path / "runs").exists()
