"""Training runs that are stopped, diverge, or meet another process on the same directory."""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import TrainerControl, TrainerState

import gpt2_finetune.train
import gpt2_finetune.trainer
from compare.errors import Failure, Interrupted
from compare.kinds import RunStatus, Track
from compare.runs.writer import Run
from gpt2_finetune.base import load_base
from gpt2_finetune.callbacks import CheckpointCallback
from gpt2_finetune.config import FinetuneOptions
from scratch_lm.batches import Batch
from scratch_lm.checkpoint import _sha256
from scratch_lm.config import ScratchOptions
from scratch_lm.journal import Journal
from scratch_lm.optimizer import make_optimizers
from scratch_lm.train import build_model, train_step
from tests.conftest import FINETUNE, SCRATCH, Place, killed_if_it_hangs
from tests.file_events import FileEvent
from tests.run_records import make_record
from tests.run_records import read_lines as lines

RUNS = {"scratch_lm": "course-seed1", "gpt2_finetune": "tiny-gpt2-seed1"}


@pytest.fixture(params=RUNS)
def track(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def command(track: str, mini_text: Path, tiny_base: Path) -> list[object]:
    own = SCRATCH if track == "scratch_lm" else [*FINETUNE, "--base", tiny_base]
    return [*own, "--corpus", mini_text, "--tracking", "disabled", "--epochs", "200"]


def started(place: Place, command: list[object]) -> subprocess.Popen[str]:
    """Start a training run, and return its process once it has printed the first step."""
    process = subprocess.Popen(
        place._command(tuple(command)),
        cwd=place.path,
        env=place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    seen = []
    with killed_if_it_hangs(process):
        for line in process.stdout:
            seen.append(line)
            if ", step " in line:
                return process
    raise AssertionError("".join(seen))


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_stopped_run_writes_a_checkpoint_and_says_how_to_continue(
    place: Place, track: str, command: list[object], number: signal.Signals
) -> None:
    run = place.path / "runs" / track / RUNS[track]
    done = place.signal_at(FileEvent("open", "history.jsonl", 2), number, *command)
    assert done.returncode == 128 + number, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr and last.startswith(
        "error: interrupted; to continue: python"
    )
    step = max(line.get("step", 0) for line in lines(run / "history.jsonl"))
    resume = shlex.split(last.partition("python -m ")[2])
    assert resume[-1] == "--resume"
    place.kill_at(FileEvent("open", "history.jsonl", 2), *resume)  # after one more line
    steps = [line["step"] for line in lines(run / "history.jsonl") if "step" in line]
    assert steps == sorted(set(steps))  # the printed command goes on after the very step
    assert step in steps and steps[-1] > step


@pytest.mark.parametrize(
    ("event", "is_announced"),
    [
        (FileEvent("open", "samples.jsonl", 1), True),
        # Nothing follows that could end first, and W&B may take minutes.
        (FileEvent("os.rename", "latest", 1), False),
    ],
    ids=["the last evaluation ends first", "at once"],
)
def test_ctrl_c_after_the_last_step_ends_the_command(
    place: Place, track: str, command: list[object], event: FileEvent, is_announced: bool
) -> None:
    run = place.path / "runs" / track / RUNS[track]
    command = [*command, "--epochs", "1"]
    done = place.signal_at(event, signal.SIGINT, *command)
    assert done.returncode == 130
    assert ("stopping after the current step or evaluation" in done.stderr) == is_announced
    assert done.stderr.strip().splitlines()[-1].startswith("error: interrupted; to continue")
    record = json.loads((run / "run.json").read_text("utf-8"))
    assert record["status"] == "running" and len(record["epochs"]) == 1
    place.run(*command, "--resume")
    assert json.loads((run / "run.json").read_text("utf-8"))["status"] == "complete"


@pytest.mark.usefixtures("restored_signals")
def test_ctrl_c_while_the_untouched_base_is_scored_ends_the_training_at_once(
    tiny_base: Path, mini_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This takes minutes for GPT-2 on a CPU, and there is nothing to save yet."""
    monkeypatch.setattr(
        gpt2_finetune.train.scoring, "score", lambda *_, **__: signal.raise_signal(signal.SIGINT)
    )
    options = FinetuneOptions(
        base=str(tiny_base),
        corpus=str(mini_text),
        batch_tokens=256,
        precision="fp32",
        tracking="disabled",
        device="cpu",
    )
    with pytest.raises(KeyboardInterrupt):
        gpt2_finetune.train.train(options)


@pytest.mark.usefixtures("restored_signals")
def test_ctrl_c_while_the_best_epoch_is_loaded_ends_the_training(
    tiny_base: Path, mini_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checksums take seconds for a large base."""
    monkeypatch.setattr(
        gpt2_finetune.trainer, "require_intact", lambda _: signal.raise_signal(signal.SIGINT)
    )
    options = FinetuneOptions(
        base=str(tiny_base),
        corpus=str(mini_text),
        train_share=0.2,
        epochs=1,
        batch_tokens=256,
        sample_characters=20,
        precision="fp32",
        tracking="disabled",
        device="cpu",
    )
    with pytest.raises(Interrupted, match=r"to continue: .* --resume"):
        gpt2_finetune.train.train(options)


@pytest.mark.usefixtures("restored_signals")
@pytest.mark.parametrize("step", [10, 20], ids=["first epoch", "last epoch"])
def test_a_signal_during_evaluation_ends_the_training_at_the_checkpoint_of_the_epoch(
    tmp_path: Path, step: int
) -> None:
    run = Run(tmp_path / "run", make_record(Track.GPT2), is_writer=False)
    callback = CheckpointCallback(run, FinetuneOptions(epochs=2))
    state = TrainerState(global_step=step, max_steps=20, is_world_process_zero=False)
    control = TrainerControl()
    callback.on_step_end(SimpleNamespace(num_train_epochs=2), state, control)
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Interrupted, match=r"to continue: .* --resume"):
        callback.on_save(None, state, control)


@pytest.mark.slow
def test_a_run_that_is_being_trained_is_not_trained_twice(
    place: Place, track: str, command: list[object]
) -> None:
    run = place.path / "runs" / track / RUNS[track]
    process = started(place, command)
    try:
        assert "another process is writing" in place.refused(*command, "--resume")
    finally:
        process.kill()
        process.wait()
    assert json.loads((run / "run.json").read_text("utf-8"))["status"] == "running"


def test_a_nan_loss_stops_the_scratch_track_and_keeps_the_checkpoint(
    place: Place, mini_text: Path
) -> None:
    command = [*SCRATCH, "--corpus", mini_text, "--tracking", "disabled"]
    run = place.path / "runs/scratch_lm/course-seed1"
    checkpoint = run / "checkpoint/state.safetensors"
    place.kill_at(FileEvent("os.rename", checkpoint.name, 2), *command, "--checkpoint-steps", "10")
    spoil(checkpoint, "model/tokens.weight")
    before = checkpoint.read_bytes()
    line = place.refused(*command, "--checkpoint-steps", "10", "--resume", code=1)
    assert re.search(
        r"the loss of step \d+ is nan: .*; the previous checkpoint is kept",
        line,
    )
    assert checkpoint.read_bytes() == before
    record = json.loads((run / "run.json").read_text("utf-8"))
    assert record["status"] == "failed" and "is nan" in record["failure"]


def test_a_nan_loss_stops_the_trainer_at_its_step(
    place: Place, mini_text: Path, tiny_base: Path, tmp_path: Path
) -> None:
    base = tmp_path / "tiny-gpt2"
    shutil.copytree(tiny_base, base)
    spoil(base / "model.safetensors", "transformer.wte.weight")
    command = [*FINETUNE, "--corpus", mini_text, "--base", base, "--tracking", "disabled"]
    assert "the loss of step 1 is nan" in place.refused(*command, code=1)
    record = json.loads(
        (place.path / "runs/gpt2_finetune/tiny-gpt2-seed1/run.json").read_text("utf-8")
    )
    assert record["status"] == "failed" and record["epochs"] == []


def spoil(path: Path, name: str) -> None:
    """Fill a tensor of a safetensors file with NaN."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    tensors[name][:] = torch.nan
    if "sha256" in metadata:
        metadata["sha256"] = _sha256(tensors, metadata["progress"])
    save_file(tensors, path, metadata)


def poison_gradient(parameter: torch.Tensor) -> None:
    """Make the gradient of `parameter` NaN, although the loss is finite."""
    parameter.register_hook(lambda gradient: gradient * torch.nan)


def test_a_nan_gradient_stops_the_scratch_track_before_its_weights_change(tmp_path: Path) -> None:
    """Otherwise the next checkpoint would contain NaN, and replace the previous one."""
    options = ScratchOptions(vocabulary=300, context_length=8, width=8, heads=2, feed_forward=8)
    model = build_model(options, 0)
    optimizers = make_optimizers(model, options)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    poison_gradient(model.tokens.weight)
    ids = torch.randint(300, (2, 8))
    result = train_step(model, optimizers, Batch(ids, ids, torch.zeros_like(ids)))
    assert math.isfinite(result.nats) and math.isnan(result.gradient_norm)
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    run = Run(tmp_path / "run", make_record(status=RunStatus.RUNNING))
    journal = Journal(run, model, None, optimizers, 100, 100, 10)
    with pytest.raises(Failure, match="the gradient of step 1 is nan"):
        journal.count_step(result)


@pytest.mark.usefixtures("restored_signals")
def test_a_nan_gradient_stops_the_trainer_before_its_weights_change(
    tmp_path: Path, tiny_base: Path, mini_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = []

    def load_poisoned(*arguments: Any) -> Any:
        model, tokenizer, base = load_base(*arguments)
        poison_gradient(model.transformer.ln_f.weight)
        models.append((model, {n: tensor.clone() for n, tensor in model.state_dict().items()}))
        return model, tokenizer, base

    monkeypatch.setattr(gpt2_finetune.train, "load_base", load_poisoned)
    options = FinetuneOptions(
        base=str(tiny_base),
        corpus=str(mini_text),
        batch_tokens=256,
        precision="fp32",
        tracking="disabled",
        device="cpu",
    )
    with pytest.raises(Failure, match="the gradient of step 1 is nan"):
        gpt2_finetune.train.train(options)
    ((model, before),) = models
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
