"""Truncated files and flipped bits are detected, and the file is named, before it is used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import TrainerState

from compare import files, generate
from compare.errors import Failure
from gpt2_finetune.trainer import ScoringTrainer
from scratch_lm.batches import Batch
from scratch_lm.checkpoint import Progress, load_checkpoint, save_checkpoint
from scratch_lm.config import ScratchOptions
from scratch_lm.train import build_model, train_step
from tests.conftest import FINETUNE, Place
from tests.file_events import FileEvent
from tests.run_records import read_lines


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path, share: float = 0.7) -> None:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[int(share * len(data))] ^= 4
    path.write_bytes(data)


def test_any_flipped_bit_of_a_scratch_checkpoint_is_found_out(tmp_path: Path) -> None:
    options = ScratchOptions(vocabulary=300, context_length=8, width=8, heads=2, feed_forward=8)
    model = build_model(options, 0)
    made = [torch.optim.AdamW(model.parameters())]
    ids = torch.randint(300, (2, 8))
    train_step(model, made, Batch(ids, ids, torch.zeros_like(ids)))
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, model, made, Progress(step=7))
    good = path.read_bytes()
    assert load_checkpoint(path, model, made) == Progress(step=7)
    where = good.index(b'"step')  # of the progress, in the header
    shares = [where / len(good) + at / len(good) for at in range(60)]
    for share in [*(number / 100 for number in range(100)), *shares]:
        flip(path, share)
        with pytest.raises(Failure, match=r"state\.safetensors is damaged"):
            load_checkpoint(path, model, made)
        path.write_bytes(good[: int(share * len(good))])
        with pytest.raises(Failure, match=r"state\.safetensors is damaged"):
            load_checkpoint(path, model, made)
        path.write_bytes(good)


@pytest.mark.parametrize(
    "other",
    [{"smeared_keys": True}, {"width": 16}, {"layers": 1}],
    ids=["more parameters", "other shapes", "fewer parameters"],
)
def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path, other: dict) -> None:
    """The code may have changed since a run was interrupted."""
    shape = {"vocabulary": 300, "context_length": 8, "width": 8, "heads": 2, "feed_forward": 8}
    model, changed = (build_model(ScratchOptions(**each), 0) for each in (shape, shape | other))
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, model, [], Progress())
    before = [weights.clone() for weights in changed.parameters()]
    with pytest.raises(Failure, match="another version of the model"):
        load_checkpoint(path, changed, [])
    assert all(map(torch.equal, before, changed.parameters()))


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "model.py"])
def test_a_changed_model_is_refused_by_name(
    study: Place, tmp_path: Path, damage: Callable[[Path], None], name: str
) -> None:
    shutil.copytree(study.path / "runs/scratch_lm/course-seed1", tmp_path / "run")
    damage(tmp_path / "run/model" / name)
    options = generate.GenerateOptions(run=tmp_path / "run", characters=5)
    with pytest.raises(Failure, match=f"{name} changed after training"):
        generate.generate(options)


@pytest.mark.slow
def test_the_trainer_continues_from_the_newest_intact_checkpoint(
    place: Place, mini_text: Path, tiny_base: Path
) -> None:
    command = [
        *FINETUNE,
        "--corpus",
        mini_text,
        "--base",
        tiny_base,
        "--tracking",
        "disabled",
        "--checkpoint-steps",
        "10",
    ]
    run = place.path / "runs/gpt2_finetune/tiny-gpt2-seed1"
    sums = "checkpoint/checkpoint-*/sha256.json"
    third_is_there = FileEvent("shutil.rmtree", "checkpoint-10", 1)
    place.kill_at(third_is_there, *command)
    _, newer = sorted(
        (path.parent for path in run.glob(sums)), key=lambda path: int(path.name.split("-")[1])
    )
    flip(newer / "optimizer.pt")
    done = place.run(*command, "--resume")
    assert f"{newer.relative_to(place.path)} is damaged (optimizer.pt): skipping it" in done.stderr
    place.run(*command)
    straight = run.with_name("tiny-gpt2-seed1-2")
    weights = [(path / "model/model.safetensors").read_bytes() for path in (run, straight)]
    assert weights[0] == weights[1]
    losses = [
        [line.get("train/loss") for line in read_lines(path / "history.jsonl")]
        for path in (run, straight)
    ]
    assert losses[0] == losses[1]
    assert json.loads((run / "run.json").read_text("utf-8"))["status"] == "complete"


def test_the_weights_of_a_damaged_best_checkpoint_are_not_used(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(bytes(100))
    files.write_checksums(tmp_path)
    flip(weights)
    trainer = object.__new__(ScoringTrainer)
    with pytest.raises(Failure, match=r"is damaged \(model\.safetensors\)"):
        trainer.restore_best(TrainerState(best_model_checkpoint=str(tmp_path)))
