"""Models that take turns write what each of them writes alone."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch

from compare.demo.sides import Side
from compare.demo.turns import write_in_turns
from compare.ruler.sampling import Settings, sample

PROMPT = "ROMEO:\n"
SETTINGS = Settings(characters=20, seed=3)


def test_the_texts_grow_side_by_side_into_those_of_each_model_alone(sides: list[Side]) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    rounds = list(write_in_turns(sides, PROMPT, SETTINGS))
    assert torch.equal(torch.get_rng_state(), before)
    alone = tuple(sample(side.model, side.tokenizer, PROMPT, SETTINGS) for side in sides)
    assert rounds[-1] == alone and alone[0] != alone[1]
    first, middle = rounds[0], rounds[len(rounds) // 2]
    for side, text in enumerate(alone):
        assert len(first[side]) < len(middle[side]) < len(text)
        assert text.startswith(middle[side])


def test_models_stop_when_nobody_waits_for_their_text(sides: list[Side]) -> None:
    before, threads = torch.get_rng_state(), threading.active_count()
    writing = write_in_turns(sides, PROMPT, SETTINGS)
    next(writing)
    assert threading.active_count() == threads + len(sides)
    writing.close()
    assert threading.active_count() == threads
    assert torch.equal(torch.get_rng_state(), before)


def test_an_error_of_one_model_ends_the_other(sides: list[Side]) -> None:
    threads = threading.active_count()
    broken = replace(sides[1], tokenizer=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        list(write_in_turns([sides[0], broken], PROMPT, SETTINGS))
    assert threading.active_count() == threads
