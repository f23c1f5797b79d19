"""Copying exercises: only copyable tokens are targets, and invented ones are marked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from compare.corpus.blocks import IGNORED
from compare.corpus.encoding import token_ids
from scratch_lm.batches import epoch_batches, first_drills
from scratch_lm.config import ScratchOptions
from scratch_lm.copy_exercises import (
    FIRST_DRILL_STEPS,
    SHORTEST_PERIOD,
    Speakers,
    make_drills,
)
from scratch_lm.optimizer import make_optimizers, set_learning_rate
from scratch_lm.tokenizer import train_tokenizer
from scratch_lm.train import build_model, train_step

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
def test_every_counted_target_of_a_drill_occurs_one_period_earlier(length: int) -> None:
    inputs, targets, positions = make_drills(200, length, 1000, np.random.default_rng(1))
    assert (positions == -1).all()
    for row in range(200):
        first = int(np.flatnonzero(targets[row] != IGNORED)[0])
        assert min(SHORTEST_PERIOD, length // 2) - 1 <= first < length * 3 / 4
        assert (targets[row, first:] == inputs[row, : length - first]).all()
        assert len(set(inputs[row, : first + 1])) > first * 0.8  # random until it repeats


def test_an_invented_name_is_constant_within_a_block_and_differs_between_blocks(
    play: tuple[np.ndarray, Speakers],
) -> None:
    ids, speakers = play
    name_positions = np.concatenate(
        [np.arange(*span) for span in zip(speakers.starts, speakers.ends, strict=True)]
    )
    seen = set()
    for seed in range(20):
        tokens = speakers.with_invented_names(0, len(ids), np.random.default_rng(seed))
        assert (np.delete(tokens, name_positions) == np.delete(ids, name_positions)).all()
        names = [tuple(tokens[span]) for span in map(slice, speakers.starts, speakers.ends)]
        assert names[0] == names[2] and names[1] == names[5]
        assert names[1] == tuple(
            ids[speakers.starts[1] : speakers.ends[1]]
        )  # no other name has this length
        for at, token in enumerate(names[0]):
            assert token in {name[at] for name in speakers.names[9]}
        seen.add(names[0])
    assert len(seen) > 15


def test_a_name_cut_by_a_block_boundary_is_renamed_like_the_whole_name(
    play: tuple[np.ndarray, Speakers],
) -> None:
    ids, speakers = play
    begin, end = int(speakers.starts[0]) + 2, int(speakers.ends[4]) - 2
    whole, part = (
        speakers.with_invented_names(first, last, np.random.default_rng(3))
        for first, last in ((0, len(ids)), (begin, end))
    )
    assert (whole[begin:end] == part).all()


def test_batches_mark_the_targets_that_do_not_come_from_the_text(mini_text: Path) -> None:
    text = mini_text.read_text("utf-8")[:20_000]
    options = ScratchOptions(vocabulary=400, context_length=32, drills=True, rename=1.0)
    tokenizer = train_tokenizer(text, 400, 32)
    ids = token_ids(tokenizer, text).astype(np.int64)
    speakers = Speakers(ids, tokenizer)
    seen = []
    for inputs, targets, positions in epoch_batches(ids, 0, options, 1, 0, speakers):
        counted = targets[:, :-1] != IGNORED
        assert torch.equal(inputs[:, 1:][counted], targets[:, :-1][counted])
        from_text = (positions >= 0) & (targets != IGNORED)
        assert torch.equal(torch.from_numpy(ids)[positions[from_text]], targets[from_text])
        seen.append(positions[from_text])
    missing = np.setdiff1d(np.arange(len(ids)), torch.cat(seen))
    name_positions = np.concatenate(
        [np.arange(*span) for span in zip(speakers.starts, speakers.ends, strict=True)]
    )
    assert torch.cat(seen).unique().numel() == sum(map(len, seen))  # no position twice
    assert len(missing) > 0.3 * len(name_positions) and np.isin(missing, name_positions).all()


def test_a_model_with_smeared_keys_learns_to_copy_from_drills() -> None:
    options = ScratchOptions(
        batch_size=16,
        vocabulary=300,
        context_length=48,
        layers=2,
        width=64,
        heads=4,
        feed_forward=64,
        init_std=0.05,
        smeared_keys=True,
        optimizer="muon",
        learning_rate=3e-3,
        muon_learning_rate=0.03,
    )
    torch.manual_seed(1)
    model = build_model(options, 0)
    model_optimizers = make_optimizers(model, options)
    for number, batch in enumerate(first_drills(options)):
        set_learning_rate(model_optimizers, number, 2 * FIRST_DRILL_STEPS, 20)
        train_step(model, model_optimizers, batch)
    unseen = make_drills(64, 48, 300, np.random.default_rng(7))
    inputs, targets, _ = map(torch.from_numpy, unseen)
    with torch.inference_mode():
        logits = model(inputs).logits
    nats = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
    assert nats < 2  # a model that cannot copy needs ln 300 = 5.7
