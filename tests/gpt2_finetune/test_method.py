"""Early stopping, the weights that are kept, and the model that LoRA training saves."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from compare import corpus
from compare.errors import Misuse
from compare.ruler import scoring
from compare.runs import models
from gpt2_finetune import lora
from gpt2_finetune.config import FinetuneOptions
from tests.conftest import FINETUNE, Place
from tests.file_events import FileEvent

RUN = Path("runs/gpt2_finetune/tiny-gpt2-seed1")
# Runs a training and exits just before the model is saved.
EXIT_BEFORE_SAVING = """
import runpy, sys
from compare.runs import writer
writer.Run.save_model = lambda *_: sys.exit(9)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def record(run: Path) -> dict:
    return json.loads((run / "run.json").read_text("utf-8"))


def test_training_stops_when_validation_gets_worse_and_keeps_the_best_epoch(
    place: Place, mini_text: Path, tiny_base: Path
) -> None:
    short = place.path / "short.txt"  # so short that even 37,000 parameters soon overfit
    short.write_text(mini_text.read_text("utf-8")[:4000], "utf-8")
    command = [*FINETUNE, "--corpus", short, "--base", tiny_base, "--tracking", "disabled"]
    command += ["--learning-rate", "0.01", "--epochs", "12"]
    place.run(*command)
    run = record(place.path / RUN)
    bits = [epoch["eval"]["bits_per_byte"] for epoch in run["epochs"]]
    assert len(bits) < 12 and run["best_epoch"] == len(bits) - 1 and bits[-1] > bits[-2]
    pair = models.load(place.path / RUN / "model")
    text = corpus.load(str(short)).validation
    assert scoring.score(*pair, text).metrics.bits_per_byte == pytest.approx(bits[-2])

    interrupted = [sys.executable, "-c", EXIT_BEFORE_SAVING, *map(str, command)]
    done = subprocess.run(interrupted, cwd=place.path, env=place.environment, capture_output=True)
    resumed = place.path / RUN.with_name(f"{RUN.name}-2")
    assert done.returncode == 9 and record(resumed)["status"] == "running"
    place.run(*command, "--resume")
    scores = [epoch["eval"] for epoch in run["epochs"]]
    assert [epoch["eval"] for epoch in record(resumed)["epochs"]] == scores
    weights = [path / "model/model.safetensors" for path in (place.path / RUN, resumed)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_low_rank_training_saves_a_complete_model(
    place: Place, mini_text: Path, tiny_base: Path
) -> None:
    command = [*FINETUNE, "--corpus", mini_text, "--base", tiny_base, "--tracking", "disabled"]
    command += ["--lora", "--learning-rate", "0.01"]
    place.run(*command)
    run = record(place.path / RUN.with_name("tiny-gpt2-lora-seed1"))
    assert run["preset"] == "LoRA fine-tuned"
    assert run["parameters"]["trained"] < run["parameters"]["total"]
    folder = place.path / "runs/gpt2_finetune/latest/model"
    assert sorted(load_file(folder / "model.safetensors")) == sorted(
        load_file(tiny_base / "model.safetensors")
    )
    pair = models.load(folder)
    text = corpus.load(str(mini_text)).validation
    best = run["epochs"][run["best_epoch"] - 1]["eval"]
    assert scoring.score(*pair, text).metrics.nats == pytest.approx(best["nats"], rel=1e-5)
    assert best["loss"] < run["zero_shot"]["loss"] - 0.03
    base, _ = models.load(tiny_base)
    torch.testing.assert_close(pair[0].transformer.wte.weight, base.transformer.wte.weight)


@pytest.mark.slow
def test_low_rank_training_resumes_to_the_same_weights(
    place: Place, mini_text: Path, tiny_base: Path
) -> None:
    command = [*FINETUNE, "--corpus", mini_text, "--base", tiny_base, "--tracking", "disabled"]
    command += ["--lora"]
    run = place.path / RUN.with_name("tiny-gpt2-lora-seed1")
    place.kill_at(FileEvent("os.rename", "sha256.json", 2), *command)
    assert "resumed" in place.run(*command, "--resume").stdout
    place.run(*command)
    weights = [run.with_name(run.name + end) / "model/model.safetensors" for end in ("", "-2")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_adapters_are_added_without_warnings(tiny_base: Path) -> None:
    model, _ = models.load(tiny_base)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lora.add_adapters(model, FinetuneOptions(lora=True))


def test_evaluation_with_adapters_computes_only_the_logits_that_it_scores(
    tiny_base: Path, mini_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "LOGITS_PER_BATCH", 1)  # one window at a time
    (model, tokenizer), text = models.load(tiny_base), mini_text.read_text("utf-8")[:500]
    expected = scoring.score(model, tokenizer, text).nats
    adapted = lora.add_adapters(model, FinetuneOptions(lora=True))
    positions: list[int] = []
    model.lm_head.register_forward_pre_hook(lambda _, args: positions.append(args[0].shape[1]))
    nats = scoring.score(adapted, tokenizer, text).nats
    assert max(positions[1:]) == 32  # the stride, half of the context
    assert nats == pytest.approx(expected, rel=1e-5)  # new adapters change nothing


def test_low_rank_training_without_peft_names_the_package_to_install(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(Misuse, match="pip install peft"):
        lora.add_adapters(models.load(tiny_base)[0], FinetuneOptions(lora=True))


def test_low_rank_training_with_sharded_weights_is_refused(place: Place) -> None:
    place.environment["ACCELERATE_USE_FSDP"] = "true"
    assert "start it with torchrun" in place.refused(*FINETUNE, "--lora")


def test_low_rank_training_from_random_weights_is_refused(place: Place) -> None:
    assert "--random-weights" in place.refused(*FINETUNE, "--lora", "--random-weights")
