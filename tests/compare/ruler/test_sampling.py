"""Sampling follows its settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from compare.corpus import Corpus
from compare.ruler.sampling import Settings, prompts, sample
from compare.ruler.scoring import start_token
from compare.runs import models

Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]
PROMPT = "ROMEO:\n"


@pytest.fixture(scope="module")
def loaded(tiny_base: Path) -> Loaded:
    return models.load(tiny_base, device=torch.device("cpu"))


def write(loaded: Loaded, **settings: float) -> str:
    return sample(*loaded, PROMPT, Settings(characters=30, **settings))


def greedy(loaded: Loaded, characters: int) -> str:
    """Return what follows if each token is the most likely one that does not end a text."""
    model, tokenizer = loaded
    ids = [start_token(tokenizer), *tokenizer(PROMPT)["input_ids"]]
    start = len(ids)
    while len(text := tokenizer.decode(ids[start:])) < characters:
        logits = model(torch.tensor([ids])).logits[0, -1].clone()
        logits[tokenizer.eos_token_id] = -torch.inf
        ids.append(int(logits.argmax()))
    return text[:characters]


@pytest.mark.parametrize("settings", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
def test_the_most_likely_tokens_follow_if_no_others_are_allowed(
    loaded: Loaded, settings: dict[str, float]
) -> None:
    for seed in (1, 2):
        assert write(loaded, seed=seed, **settings) == greedy(loaded, 30)


def test_other_settings_write_other_texts(loaded: Loaded) -> None:
    usual = write(loaded)
    assert usual == write(loaded)
    for settings in ({"seed": 2}, {"temperature": 0.1}, {"top_k": 2}, {"top_p": 0.1}):
        assert write(loaded, **settings) != usual, settings


def test_prompts_are_short_in_a_script_without_spaces() -> None:
    text = "一二三四五六七八九十。" * 300
    found = prompts(Corpus("own", "a file", "", train=text, validation=text, test=text))
    assert found and all(prompt in text and len(prompt) <= 60 for prompt in found)
