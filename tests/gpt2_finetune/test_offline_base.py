"""The stand-in is small, is what it says it is, and has not read the corpus."""

from __future__ import annotations

from compare import models, plays, scoring
from gpt2_finetune.base import STAND_IN, STAND_IN_NAME

PASSAGE = 50  # characters


def test_no_passage_of_the_corpus_is_in_the_pretraining_text(tiny_shakespeare: str) -> None:
    """Of 1,115,345 passages of 50 characters, none: not even a chance phrase is that long."""
    pretraining = "\n".join(plays.other_plays().values())
    seen = {pretraining[at : at + PASSAGE] for at in range(len(pretraining) - PASSAGE + 1)}
    shared = sum(
        tiny_shakespeare[at : at + PASSAGE] in seen
        for at in range(len(tiny_shakespeare) - PASSAGE + 1)
    )
    assert shared == 0


def test_pretraining_plays_are_the_other_29() -> None:
    others = plays.other_plays()
    assert len(others) == 29
    assert not others.keys() & set(plays.TINY_SHAKESPEARE_PLAYS)


def test_stand_in_is_a_small_gpt2_with_a_name_of_its_own() -> None:
    model, tokenizer = models.load(STAND_IN)
    assert type(model).__name__ == "GPT2LMHeadModel"
    assert type(tokenizer).__name__.startswith("GPT2Tokenizer")
    assert f"{model.num_parameters() / 1e6:.1f}m" in STAND_IN_NAME
    assert (STAND_IN / "model.safetensors").stat().st_size < 12e6


def test_stand_in_knows_shakespeare_it_has_not_read(tiny_shakespeare: str) -> None:
    """1.75 bits per byte is far below any compressor and any model of this size from scratch."""
    model, tokenizer = models.load(STAND_IN)
    text = tiny_shakespeare[-20_000:]
    assert scoring.score(model, tokenizer, text).summary()["bits_per_byte"] < 2.1
