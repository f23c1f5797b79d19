"""A checkpoint from which a run cannot be continued is refused before anything is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import TrainerState

from compare import files
from compare.corpus import load
from compare.errors import Failure, Misuse
from compare.kinds import Track
from compare.runs.writer import Run
from gpt2_finetune.train import rewind_to_checkpoint
from tests.run_records import make_record

PLAIN = ["model.safetensors", "optimizer.pt"]
SHARDED = ["model.safetensors", "pytorch_model_fsdp.bin", "optimizer.bin"]


def add_checkpoint(run: Run, step: int, best: int, names: list[str] = PLAIN) -> Path:
    """Write a checkpoint after one epoch per step, of which the one at the step `best` is best."""
    folder = run.checkpoint_folder / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(bytes(100))
    state = TrainerState(
        epoch=step,
        global_step=step,
        best_global_step=best,
        best_model_checkpoint=str(folder.with_name(f"checkpoint-{best}")),
    )
    state.save_to_json(str(folder / "trainer_state.json"))
    files.write_checksums(folder)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run", make_record(Track.GPT2), is_writer=False)


def test_a_run_does_not_continue_without_its_best_checkpoint(run: Run, mini_text: Path) -> None:
    corpus = load(str(mini_text))
    best = add_checkpoint(run, step=1, best=1)
    newest = add_checkpoint(run, step=2, best=1)
    assert rewind_to_checkpoint(run, corpus, is_fsdp=False)[0] == newest
    (best / "model.safetensors").write_bytes(b"other")
    with pytest.raises(Failure, match=r"checkpoint-1, is damaged \(model\.safetensors\)"):
        rewind_to_checkpoint(run, corpus, is_fsdp=False)
    best.rename(best.with_name("moved"))
    with pytest.raises(Failure, match="checkpoint-1, is missing: put it back, or train again"):
        rewind_to_checkpoint(run, corpus, is_fsdp=False)


@pytest.mark.parametrize(
    ("names", "is_fsdp", "words"),
    [(SHARDED, False, "was written with FSDP"), (PLAIN, True, "was written without FSDP")],
)
def test_weights_that_are_sharded_only_before_or_after_are_refused(
    run: Run, mini_text: Path, names: list[str], is_fsdp: bool, words: str
) -> None:
    corpus = load(str(mini_text))
    checkpoint = add_checkpoint(run, step=1, best=1, names=names)
    with pytest.raises(Misuse, match=f"checkpoint-1 {words}: resume"):
        rewind_to_checkpoint(run, corpus, is_fsdp)
    assert rewind_to_checkpoint(run, corpus, not is_fsdp)[0] == checkpoint
