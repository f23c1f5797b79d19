"""The GPT-2 track on the command line, and the inputs of the Trainer."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, GPT2LMHeadModel, Trainer, TrainingArguments

from compare.corpus import load
from compare.corpus.blocks import IGNORED
from compare.errors import Misuse
from compare.kinds import RowKind, Track
from compare.ruler.parameters import Parameters
from compare.runs import start as run_start
from compare.runs.writer import Run
from gpt2_finetune import defaults
from gpt2_finetune.base import STAND_IN, load_base
from gpt2_finetune.config import FinetuneOptions
from gpt2_finetune.dataset import make_dataset
from gpt2_finetune.defaults import learning_rate
from gpt2_finetune.train import run_name, with_defaults, with_precision
from tests.conftest import FINETUNE, Place
from tests.file_events import FileEvent
from tests.run_records import read_lines
from tests.scratch_lm.test_train import without_times

RUN = Path("runs/gpt2_finetune/tiny-gpt2-seed1")


def test_run_record_says_what_ran_and_how_well(study: Place) -> None:
    run = json.loads((study.path / RUN / "run.json").read_text("utf-8"))
    assert run["status"] == "complete" and run["base"]["resolved"] == "tiny-gpt2"
    assert run["trainer_loaded"]
    losses = [run["zero_shot"]["loss"], *(epoch["eval"]["loss"] for epoch in run["epochs"])]
    assert losses == sorted(losses, reverse=True)
    assert run["epochs"][-1]["eval"]["bytes"] == run["zero_shot"]["bytes"] == 1500
    assert [epoch["characters_seen"] for epoch in run["epochs"]] == [27_000, 54_000, 81_000]


def test_random_weights_keep_the_shape_and_forget_the_rest(study: Place) -> None:
    control = RUN.with_name("tiny-gpt2-random-seed1")
    tuned, random = (
        json.loads((study.path / run / "run.json").read_text("utf-8")) for run in (RUN, control)
    )
    assert random["preset"] == "from random weights" and random["config"]["random_weights"]
    assert random["parameters"] == tuned["parameters"] and random["base"] == tuned["base"]
    assert random["zero_shot"]["nats"] != tuned["zero_shot"]["nats"]  # other weights to begin with
    assert random["zero_shot"]["bytes"] == tuned["zero_shot"]["bytes"]
    assert random["epochs"][-1]["eval"]["loss"] < random["zero_shot"]["loss"]


def test_default_learning_rates() -> None:
    gpt2 = Parameters(total=124_000_000, non_embedding=85_000_000)
    stand_in = Parameters(total=3_749_376, non_embedding=3_159_552)
    assert learning_rate(gpt2, random_weights=False) == pytest.approx(1e-4)
    assert learning_rate(stand_in, random_weights=False) == pytest.approx(5.8e-4, rel=0.01)
    # Kaplan et al. print 0.003239 - 0.0001395 log(N), a natural logarithm; N has no embeddings.
    assert learning_rate(gpt2, random_weights=True) == pytest.approx(6.916e-4, rel=1e-3)
    assert learning_rate(stand_in, random_weights=True) == pytest.approx(1.1513e-3, rel=1e-3)


def test_both_tracks_log_the_same_keys(study: Place) -> None:
    keys = [
        {key for line in read_lines(study.path / "runs" / run / "history.jsonl") for key in line}
        for run in ("gpt2_finetune/tiny-gpt2-seed1", "scratch_lm/course-seed1")
    ]
    assert keys[0] == keys[1]


def test_every_token_of_the_text_counts_once_in_the_trainers_loss(
    tmp_path: Path, tiny_base: Path, mini_text: Path
) -> None:
    """The Trainer's loss is the mean over all targets, including the first of each block."""
    corpus = load(str(mini_text))
    model = GPT2LMHeadModel.from_pretrained(tiny_base)
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    data = make_dataset(corpus, tokenizer, 64, rows_per_step=7)
    assert len(data.dataset) % 7 == 0
    assert data.tokens == len(tokenizer(corpus.train)["input_ids"])
    batch = data.collate(list(data.dataset))
    inputs, targets = batch["input_ids"], batch["labels"]
    counted = targets[targets != IGNORED]
    assert tokenizer.decode(counted) == corpus.train
    trainer = Trainer(
        model,
        TrainingArguments(
            str(tmp_path), remove_unused_columns=False, use_cpu=True, report_to="none"
        ),
    )
    batches, items = trainer.get_batch_samples(iter([batch]), 1, torch.device("cpu"))
    model.eval()
    loss = trainer.compute_loss(model, dict(batches[0]), num_items_in_batch=items)
    logits = model(inputs).logits
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="sum"
    )
    assert items == data.tokens
    torch.testing.assert_close(loss, expected / data.tokens)


def test_killed_run_resumes_to_the_same_weights_and_history(
    place: Place, mini_text: Path, tiny_base: Path
) -> None:
    command = [*FINETUNE, "--corpus", mini_text, "--base", tiny_base, "--tracking", "disabled"]
    place.kill_at(FileEvent("os.rename", "sha256.json", 2), *command)
    # A checkpoint that was being written when the process died is not one.
    (first,) = (place.path / RUN / "checkpoint").glob("checkpoint-*/sha256.json")
    steps = int(first.parent.name.removeprefix("checkpoint-"))
    (first.parent.with_name(f"checkpoint-{2 * steps}")).mkdir(exist_ok=True)
    assert "resumed" in place.run(*command, "--resume").stdout
    place.run(*command)
    resumed, straight = (place.path / RUN.with_name(RUN.name + end) for end in ("", "-2"))
    assert (resumed / "model/model.safetensors").read_bytes() == (
        straight / "model/model.safetensors"
    ).read_bytes()
    histories = [without_times(read_lines(path / "history.jsonl")) for path in (resumed, straight)]
    assert histories[0] == histories[1]


@pytest.mark.slow
def test_a_run_resumes_with_other_micro_batches(
    place: Place, mini_text: Path, tiny_base: Path
) -> None:
    command = [*FINETUNE, "--corpus", mini_text, "--base", tiny_base, "--tracking", "disabled"]
    command += ["--precision", "fp32"]
    place.kill_at(FileEvent("os.rename", "sha256.json", 2), *command)
    done = place.run(*command, "--resume", "--accumulation", 2, "--gradient-checkpointing")
    assert "resumed" in done.stdout
    place.run(*command)
    losses = [
        [epoch["train_loss"] for epoch in json.loads((path / "run.json").read_text())["epochs"]]
        for path in (place.path / RUN, place.path / RUN.with_name(f"{RUN.name}-2"))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_training_stops_early_where_the_untouched_base_remains_the_best(
    place: Place, mini_text: Path
) -> None:
    options = ["--base", STAND_IN, "--corpus", mini_text, "--tracking", "disabled"]
    done = place.run(*FINETUNE, *options, "--batch-tokens", 2048, "--learning-rate", 0.1)
    path = place.path / "runs/gpt2_finetune" / f"{STAND_IN.name}-seed1" / "run.json"
    run = json.loads(path.read_text("utf-8"))
    (epoch,) = run["epochs"]  # of three
    assert epoch["eval"]["loss"] > run["zero_shot"]["loss"]
    assert run["status"] == "complete" and run["best_epoch"] == 1
    assert "no epoch improved on the model before training" in done.stdout


@pytest.mark.parametrize(
    ("instructions", "speedup", "expected"),
    [("avx512_bf16", 2.0, "bf16"), ("avx512_bf16", 0.5, "fp32"), ("avx2", 2.0, "fp32")],
)
def test_bf16_is_the_default_on_a_cpu_that_is_faster_with_it(
    monkeypatch: pytest.MonkeyPatch, instructions: str, speedup: float, expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instructions: True})
    monkeypatch.setattr(defaults, "measure_bf16_speedup", lambda: speedup)
    assert defaults.precision(torch.device("cpu")) == expected


def test_measuring_bf16_leaves_the_number_of_threads_as_it_was() -> None:
    threads = torch.get_num_threads()
    assert 0 < defaults.measure_bf16_speedup(size=64, repetitions=2) < 1000
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("steps", [0, 1e-9])
def test_a_clock_that_is_too_coarse_finds_no_difference(
    monkeypatch: pytest.MonkeyPatch, steps: float
) -> None:
    ticks = itertools.count(step=steps)
    for clock in ("thread_time", "perf_counter"):
        monkeypatch.setattr(defaults.time, clock, lambda: next(ticks))
    assert defaults.measure_bf16_speedup(size=8, repetitions=2) == pytest.approx(1)


def test_a_resumed_run_keeps_its_precision_whatever_is_measured_now(
    tmp_path: Path, tiny_base: Path, mini_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, cpu = load(str(mini_text)), torch.device("cpu")
    _, _, base = load_base(str(tiny_base), 0.0, cpu)
    parameters = Parameters(total=1000, non_embedding=500)
    monkeypatch.setattr(defaults, "precision", lambda device: fastest)

    def start(**options: Any) -> Run:
        filled = FinetuneOptions(base=str(tiny_base), corpus=str(mini_text), **options)
        filled = with_defaults(filled, parameters, cpu, context_length=64, num_processes=1)
        filled = with_precision(filled, corpus, base, cpu)
        run = run_start.start(
            Track.GPT2,
            run_name(filled, base),
            filled,
            corpus,
            command=Track.GPT2.command,
            preset=RowKind.FINE_TUNED,
            base=base,
            parameters=parameters,
        )
        run.release()
        return run

    fastest = "bf16"
    first = start()
    fastest = "fp32"
    resumed = start(resume=True, accumulation=4, gradient_checkpointing=True)
    assert resumed.path == first.path and resumed.record.config["precision"] == "bf16"
    with pytest.raises(Misuse, match="precision was bf16 and is now fp32"):
        start(resume=True, precision="fp32")
    assert start(resume=False).record.config["precision"] == "fp32"
