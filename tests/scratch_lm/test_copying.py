"""Exercises in copying: what can be copied is a target, what was invented is kept apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from compare.corpus.blocks import IGNORED
from compare.corpus.encoding import token_ids
from scratch_lm.batches import epoch_batches
from scratch_lm.config import ScratchOptions
from scratch_lm.copying import FIRST_STEPS, SHORTEST, Speakers, drill, first_drills
from scratch_lm.optimizer import optimizers, set_learning_rate
from scratch_lm.tokenizer import train_tokenizer
from scratch_lm.train import build, step

PLAY = """
Here is some prose: NOT
a speaker.

KING LEAR:
Attend the lords of France, GLOUCESTER:
Gloucester!

GLOUCESTER:
I shall.

KING LEAR:
Meantime.

First Knight:
My lord?

DUKE JOHN:
Ho!

LORD HUGH:
Peace.

GLOUCESTER:
I know you not.
"""


@pytest.fixture(scope="module")
def play() -> tuple[np.ndarray, Speakers]:
    tokenizer = train_tokenizer(PLAY, 257, 64)  # a token for each byte
    ids = token_ids(tokenizer, PLAY)
    speakers = Speakers(ids, tokenizer)
    spoken = [tokenizer.decode(ids[span]) for span in map(slice, speakers.starts, speakers.ends)]
    assert spoken == [
        "KING LEAR",
        "GLOUCESTER",
        "KING LEAR",
        "DUKE JOHN",
        "LORD HUGH",
        "GLOUCESTER",
    ]
    return ids, speakers


@pytest.mark.parametrize("length", [2, 9, 40])
def test_every_counted_target_of_a_drill_stood_one_round_before(length: int) -> None:
    inputs, targets, places = drill(200, length, 1000, np.random.default_rng(1))
    assert (places == -1).all()
    for row in range(200):
        first = int(np.flatnonzero(targets[row] != IGNORED)[0])
        assert min(SHORTEST, length // 2) - 1 <= first < length * 3 / 4
        assert (targets[row, first:] == inputs[row, : length - first]).all()
        assert len(set(inputs[row, : first + 1])) > first * 0.8  # random, before it repeats


def test_an_invented_name_is_the_same_throughout_a_block_and_another_elsewhere(
    play: tuple[np.ndarray, Speakers],
) -> None:
    ids, speakers = play
    named = np.concatenate(
        [np.arange(*span) for span in zip(speakers.starts, speakers.ends, strict=True)]
    )
    seen = set()
    for seed in range(20):
        tokens = speakers.renamed(0, len(ids), np.random.default_rng(seed))
        assert (np.delete(tokens, named) == np.delete(ids, named)).all()
        names = [tuple(tokens[span]) for span in map(slice, speakers.starts, speakers.ends)]
        assert names[0] == names[2] and names[1] == names[5]
        assert names[1] == tuple(ids[speakers.starts[1] : speakers.ends[1]])  # none is as long
        for at, token in enumerate(names[0]):
            assert token in {name[at] for name in speakers.names[9]}
        seen.add(names[0])
    assert len(seen) > 15


def test_a_name_that_a_block_cuts_is_renamed_like_the_whole(
    play: tuple[np.ndarray, Speakers],
) -> None:
    ids, speakers = play
    begin, end = int(speakers.starts[0]) + 2, int(speakers.ends[4]) - 2
    whole, part = (
        speakers.renamed(first, last, np.random.default_rng(3))
        for first, last in ((0, len(ids)), (begin, end))
    )
    assert (whole[begin:end] == part).all()


def test_batches_keep_apart_what_is_not_the_text(mini_text: Path) -> None:
    text = mini_text.read_text()[:20_000]
    options = ScratchOptions(vocabulary=400, context_length=32, drills=True, rename=1.0)
    tokenizer = train_tokenizer(text, 400, 32)
    ids = token_ids(tokenizer, text).astype(np.int64)
    speakers = Speakers(ids, tokenizer)
    places = []
    for inputs, targets, each in epoch_batches(ids, 0, options, 1, 0, speakers):
        known = targets[:, :-1] != IGNORED
        assert torch.equal(inputs[:, 1:][known], targets[:, :-1][known])
        own = (each >= 0) & (targets != IGNORED)
        assert torch.equal(torch.from_numpy(ids)[each[own]], targets[own])
        places.append(each[own])
    missing = np.setdiff1d(np.arange(len(ids)), torch.cat(places))
    named = np.concatenate(
        [np.arange(*span) for span in zip(speakers.starts, speakers.ends, strict=True)]
    )
    assert torch.cat(places).unique().numel() == sum(map(len, places))  # each once
    assert len(missing) > 0.3 * len(named) and np.isin(missing, named).all()


def test_a_model_with_smeared_keys_learns_to_copy_from_drills() -> None:
    options = ScratchOptions(
        batch_size=16, vocabulary=300, context_length=48, layers=2, width=64, heads=4,
        feed_forward=64, init_std=0.05, smeared_keys=True, optimizer="muon", learning_rate=3e-3,
        muon_learning_rate=0.03,
    )  # fmt: skip
    torch.manual_seed(1)
    model = build(options, 0)
    made = optimizers(model, options)
    for at, batch in enumerate(first_drills(options)):
        set_learning_rate(made, at, 2 * FIRST_STEPS, 20)
        step(model, made, *batch)
    fresh = drill(64, 48, 300, np.random.default_rng(7))
    inputs, targets, _ = map(torch.from_numpy, fresh)
    with torch.inference_mode():
        logits = model(inputs).logits
    nats = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
    assert nats < 2  # ln 300 = 5.7 is what one pays who cannot copy
