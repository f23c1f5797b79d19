"""A model that knows a text by heart is found, and one that cannot know it is not."""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer
from transformers.modeling_outputs import CausalLMOutput

from compare.corpus.encoding import encode, token_ids
from compare.kinds import BaseKind, ContaminationText
from compare.report.contamination import describe, describe_other, rate, shuffle_lines
from compare.report.results import VerbatimRates
from compare.ruler import verbatim
from compare.ruler.scoring import start_token
from compare.runs import models
from compare.runs.kept import KeptModel

KNOWN, OTHER = slice(0, 1500), slice(1500, 3000)  # characters of the corpus


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> GPT2Tokenizer:
    return models.load(tiny_base)[1]


class Reader(GPT2LMHeadModel):
    """Continues as in a text that it knows by heart, where it recognizes 16 tokens of it."""

    following: dict[tuple[int, ...], int]

    def forward(self, input_ids: torch.Tensor, **_: Any) -> CausalLMOutput:
        logits = torch.zeros(*input_ids.shape, self.config.vocab_size)
        for row, ids in enumerate(input_ids.tolist()):
            for position in range(len(ids)):
                recognized = tuple(ids[max(0, position - 15) : position + 1])
                logits[row, position, self.following.get(recognized, 0)] = 1
        return CausalLMOutput(logits=logits)


@pytest.fixture(scope="module")
def reader(tokenizer: GPT2Tokenizer, tiny_shakespeare: str) -> Reader:
    """Return a model that knows the text KNOWN by heart."""
    config = GPT2Config(vocab_size=300, n_positions=80, n_embd=8, n_layer=1, n_head=1)
    model = Reader(config).eval()
    ids = token_ids(tokenizer, tiny_shakespeare[KNOWN]).tolist()
    model.following = {tuple(ids[i : i + 16]): ids[i + 16] for i in range(len(ids) - 16)}
    return model


def cut(ids: torch.Tensor) -> torch.Tensor:
    """Return `ids` in rows of a prompt and its continuation."""
    length = verbatim.PROMPT_TOKENS + verbatim.CONTINUATION_TOKENS
    return ids[: len(ids) // length * length].view(-1, length)


def test_a_text_known_by_heart_is_repeated_and_others_are_not(
    reader: Reader, tokenizer: GPT2Tokenizer, tiny_shakespeare: str
) -> None:
    known, other = tiny_shakespeare[KNOWN], tiny_shakespeare[OTHER]
    assert rate(verbatim.repeated_tokens(reader, tokenizer, known)).share > 0.9
    assert rate(verbatim.repeated_tokens(reader, tokenizer, other)).repeated == 0
    # A line is still known, but not what follows it.
    shuffled = rate(verbatim.repeated_tokens(reader, tokenizer, shuffle_lines(known)))
    assert shuffled.share < 0.5
    torch.manual_seed(2)
    untrained = GPT2LMHeadModel(reader.config)
    assert rate(verbatim.repeated_tokens(untrained, tokenizer, known)).repeated == 0


def test_the_tokens_repeated_are_those_that_the_model_generates(
    reader: Reader, tokenizer: GPT2Tokenizer, tiny_shakespeare: str
) -> None:
    """A letter is put into a known text, so that one continuation differs halfway through it."""
    known = tiny_shakespeare[KNOWN]
    _, byte_ends = encode(tokenizer, known)
    at = byte_ends[3 * 70 + verbatim.PROMPT_TOKENS + 10]
    text = known[:at] + "Q" + known[at:]
    rows = cut(torch.from_numpy(token_ids(tokenizer, text).astype(np.int64)))
    lengths = []
    for row in rows:
        prompt = torch.cat((torch.tensor([start_token(tokenizer)]), row[: verbatim.PROMPT_TOKENS]))
        generated: Any = reader.generate(
            prompt[None],
            attention_mask=torch.ones_like(prompt)[None],
            do_sample=False,
            max_new_tokens=verbatim.CONTINUATION_TOKENS,
            use_cache=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        same = generated[0, len(prompt) :] == row[verbatim.PROMPT_TOKENS :]
        lengths.append(int(same.long().cumprod(0).sum()))
    assert lengths[:3] == [20, 20, 20] and 5 <= lengths[3] <= 11
    assert verbatim.repeated_tokens(reader, tokenizer, text).tolist() == lengths


def test_a_short_context_has_shorter_prompts_down_to_a_limit(
    tokenizer: GPT2Tokenizer, tiny_shakespeare: str
) -> None:
    for context_length, prompt in ((1024, 50), (70, 50), (64, 44), (30, 10)):
        config = GPT2Config(
            vocab_size=300, n_positions=context_length, n_embd=8, n_layer=1, n_head=1
        )
        model = GPT2LMHeadModel(config)
        assert verbatim.prompt_tokens(model) == prompt
        lengths = verbatim.repeated_tokens(model, tokenizer, tiny_shakespeare[KNOWN])
        tokens = len(token_ids(tokenizer, tiny_shakespeare[KNOWN]))
        assert len(lengths) == tokens // (prompt + 20)
    model.config.n_positions = 29
    with pytest.raises(ValueError, match="context of 29 tokens is too short"):
        verbatim.prompt_tokens(model)


def test_a_text_shorter_than_a_prompt_has_none(reader: Reader, tokenizer: GPT2Tokenizer) -> None:
    for text in ("", "ROMEO:\n"):
        assert verbatim.repeated_tokens(reader, tokenizer, text).shape == (0,)


@given(tokens=st.integers(0, 100_000), prompt=st.integers(10, 50))
def test_prompts_do_not_overlap_and_reach_over_the_whole_text(tokens: int, prompt: int) -> None:
    starts, length = verbatim.prompt_starts(tokens, prompt), prompt + verbatim.CONTINUATION_TOKENS
    assert len(starts) == min(tokens // length, verbatim.MAX_PROMPTS)
    assert (np.diff(starts) >= length).all()
    if len(starts):
        assert starts[0] == 0 and (len(starts) == 1 or tokens - starts[-1] < 2 * length)


def test_repetitions_are_kept_and_computed_again_for_another_text(
    tmp_path: Path, tiny_base: Path, tiny_shakespeare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(tiny_base, tmp_path / "model")
    first = KeptModel(folder).repeated_tokens(tiny_shakespeare[KNOWN])
    real, calls = verbatim.repeated_tokens, []

    def compute(*arguments: Any) -> np.ndarray:
        calls.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(verbatim, "repeated_tokens", compute)
    again = KeptModel(folder).repeated_tokens(tiny_shakespeare[KNOWN])
    assert not calls and np.array_equal(first, again) and again.dtype == first.dtype
    KeptModel(folder).repeated_tokens(tiny_shakespeare[OTHER])
    assert len(calls) == 1


def test_shuffling_keeps_every_line_and_the_layout_but_no_order(tiny_shakespeare: str) -> None:
    text = tiny_shakespeare[:20_000]
    shuffled = shuffle_lines(text)
    assert shuffled == shuffle_lines(text)
    # A space at the end of a line stays in its place.
    before, after = ([line.rstrip() for line in each.split("\n")] for each in (text, shuffled))
    assert Counter(before) == Counter(after) and len(before) > 500
    assert [line == "" for line in before] == [line == "" for line in after]
    speeches = [speech.split("\n") for speech in shuffled.split("\n\n")]
    assert all(speech[0].endswith(":") for speech in speeches[:-1])
    # Lines that occur once each, so that their neighbors are known.
    once = {line for line, count in Counter(before).items() if count == 1 and line}
    neighbors = {(a, b) for a, b in pairwise(before) if {a, b} <= once}
    assert len(neighbors) > 300 and not neighbors & set(pairwise(after))


def test_long_lines_are_shuffled_in_pieces() -> None:
    words = [f"word{number}" for number in range(300)]
    shuffled = shuffle_lines(" ".join(words))
    assert sorted(shuffled.split(" ")) == sorted(words)
    followed = sum(pair in set(pairwise(words)) for pair in pairwise(shuffled.split(" ")))
    assert 0 < followed < 300 * 0.95
    assert sorted(shuffle_lines("x" * 1000)) == ["x"] * 1000


@given(st.text("aB:\n ", max_size=60))
def test_any_text_can_be_shuffled(text: str) -> None:
    shuffled = shuffle_lines(text)
    assert Counter(shuffled) == Counter(text)
    assert shuffled.count("\n\n") == text.count("\n\n")


def rates(name: str, base_kind: BaseKind | None, *repeated: int) -> VerbatimRates:
    """Return the rates of a model that repeats this many of 250 prompts of each text."""
    return VerbatimRates(
        name=name,
        base_kind=base_kind,
        prompt_tokens=50,
        continuation_characters=60.0,
        rates={
            text: rate(np.repeat([20, 0], [number, 250 - number]))
            for text, number in zip(ContaminationText, repeated, strict=True)
        },
    )


SCRATCH = rates("Scratch (tuned)", None, 1, 2, 0)


def test_the_interval_of_no_repetition_is_the_rule_of_three() -> None:
    """The upper bound of a 95% interval without any hit is 1 - 0.025^(1/n)."""
    found = SCRATCH.rates[ContaminationText.SHUFFLED]
    assert found.ci95 == (0, pytest.approx(1 - 0.025 ** (1 / 250)))
    assert found.share == 0 and found.count == "0 of 250"


def test_the_paragraph_says_that_a_base_knew_the_text_only_if_the_intervals_show_it() -> None:
    by_heart = "in all likelihood, web knew parts of this text by heart"
    for repeated, shown, is_shown in ((30, "30", True), (5, "5", False), (0, "none", False)):
        base = rates("web zero-shot", BaseKind.OTHER, repeated, 4, 0)
        text = describe(base, SCRATCH, is_tiny_shakespeare=True)
        assert (by_heart in text) == is_shown
        assert ("shows neither that web has read this text nor" in text) != is_shown
        assert f"tokens of the test text at a time, it continued {shown} of 250 passages" in text
        assert "Scratch (tuned), which cannot know this text, was prompted in the same way" in text
        assert "and continued 1 of 250 passages exactly" in text
        assert "almost certainly includes Shakespeare" in text
        assert text.endswith("how much from having read this very text.")
    # More than by chance, but no more than the scratch model can guess.
    good_guesser = rates("Scratch (tuned)", None, 25, 25, 0)
    base = rates("web zero-shot", BaseKind.OTHER, 30, 4, 0)
    assert by_heart not in describe(base, good_guesser, is_tiny_shakespeare=True)


def test_the_paragraph_says_that_the_stand_in_cannot_have_read_tiny_shakespeare() -> None:
    base = rates("stand-in zero-shot", BaseKind.STAND_IN, 0, 0, 0)
    text = describe(base, SCRATCH, is_tiny_shakespeare=True)
    assert "stand-in has not: it was pretrained only on 29 other plays" in text
    assert "other plays by the same author gains on this text" in text
    assert "shows neither that" not in text
    elsewhere = describe(base, SCRATCH, is_tiny_shakespeare=False)
    assert "other plays" not in elsewhere and "shows neither" not in elsewhere
    assert "pretraining on these plays gains on this text" in elsewhere


def test_other_bases_are_judged_too() -> None:
    web = rates("web zero-shot", BaseKind.GPT2, 30, 4, 0)
    text = describe_other(web, SCRATCH, is_tiny_shakespeare=True)
    assert "web may have" in text and "web knew parts" in text and "30 of 250 passages" in text
    stand_in = rates("stand-in zero-shot", BaseKind.STAND_IN, 0, 0, 0)
    text = describe_other(stand_in, SCRATCH, is_tiny_shakespeare=True)
    assert "stand-in has not" in text and "shows neither" not in text
    assert "shows neither" not in describe_other(stand_in, SCRATCH, is_tiny_shakespeare=False)
