"""Scores agree with hand computation, and count every byte once whatever the windows."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from types import SimpleNamespace

import evaluate
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

from compare.ruler import scoring
from compare.ruler.metrics import metrics_of
from tests.conftest import ROOT

PROBABILITIES = {"<": [0.5, 0.3, 0.2], "a": [0.1, 0.6, 0.3], "b": [0.25, 0.25, 0.5]}


class Bigram(torch.nn.Module):
    """A model of the tokens end-of-text, a and b that depends only on the previous token."""

    def __init__(self, context_length: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(max_position_embeddings=context_length, vocab_size=3)
        self.device = torch.device("cpu")
        self.table = torch.tensor(list(PROBABILITIES.values())).log()

    def forward(self, input_ids: torch.Tensor) -> SimpleNamespace:
        assert input_ids.shape[1] <= self.config.max_position_embeddings
        return SimpleNamespace(logits=self.table[input_ids])


def bigram_tokenizer() -> GPT2Tokenizer:
    return GPT2Tokenizer(vocab={"<|endoftext|>": 0, "a": 1, "b": 2}, merges=[])


def by_hand(text: str) -> list[float]:
    return [
        -math.log(PROBABILITIES[before]["<ab".index(token)])
        for before, token in zip("<" + text, text, strict=False)
    ]


def test_three_token_model_by_hand() -> None:
    score = scoring.score(Bigram(8), bigram_tokenizer(), "abb")
    # P(a | end of text) P(b | a) P(b | b) = 0.3 x 0.3 x 0.5
    assert score.nats.sum() == pytest.approx(-math.log(0.045))
    metrics = score.metrics
    assert metrics.bits_per_byte == pytest.approx(-math.log2(0.045) / 3)
    assert metrics.token_perplexity == pytest.approx(0.045 ** (-1 / 3))
    assert metrics.word_perplexity == pytest.approx(1 / 0.045)
    assert metrics.nats_per_char == pytest.approx(-math.log(0.045) / 3)
    assert (metrics.bytes, metrics.chars, metrics.tokens, metrics.words) == (3, 3, 3, 1)


@given(
    text=st.text("ab", min_size=1, max_size=60),
    context_length=st.integers(1, 12),
    stride=st.integers(1, 12),
)
def test_every_token_is_scored_once_in_any_windows(
    text: str, context_length: int, stride: int
) -> None:
    stride = min(stride, context_length)
    score = scoring.score(Bigram(context_length), bigram_tokenizer(), text, stride)
    # One token of context is all the model needs, so every window must give the same nats.
    np.testing.assert_allclose(score.nats, by_hand(text), rtol=1e-6)


@pytest.mark.parametrize("stride", [1, 3, 8])
def test_only_the_logits_that_are_scored_are_computed(
    stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "LOGITS_PER_BATCH", 1)  # one window at a time
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=3, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    model, text, positions = GPT2LMHeadModel(config).eval(), "abbabaababbabbabaaab", []
    model.lm_head.register_forward_pre_hook(lambda _, args: positions.append(args[0].shape[1]))
    nats = scoring.score(model, bigram_tokenizer(), text, stride).nats
    assert positions[0] == 8 and max(positions[1:]) == stride

    ids = torch.tensor([0, *("<ab".index(token) for token in text)])
    for begin, first, end in scoring.windows(len(text), 8, stride):
        log_probabilities = model(ids[begin:end][None]).logits[0].log_softmax(-1)
        for target in range(first, end + 1):
            expected = -log_probabilities[target - 1 - begin, ids[target]].item()
            assert nats[target - 1] == pytest.approx(expected, rel=1e-5)


def test_a_shorter_context_is_all_that_the_model_gets() -> None:
    model, widths = Bigram(8), []
    model.register_forward_pre_hook(
        lambda _, args, kwargs: widths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    score = scoring.score(model, bigram_tokenizer(), "abbabbab", context_length=2)
    assert set(widths) == {2}
    np.testing.assert_allclose(score.nats, by_hand("abbabbab"), rtol=1e-6)


@given(st.integers(1, 500), st.integers(1, 64), st.integers(1, 64))
def test_windows_tile_and_leave_enough_context(tokens: int, context: int, stride: int) -> None:
    stride = min(stride, context)
    kept = []
    for number, (begin, first, end) in enumerate(scoring.windows(tokens, context, stride)):
        assert end - begin == min(context, tokens)
        assert number == 0 or first - begin > context - stride
        kept += range(first, end + 1)
    assert kept == list(range(1, tokens + 1))
    # One window of `context` inputs for each stride: the work grows linearly with the text.
    assert number == -(-max(0, tokens - context) // stride)


def test_perplexities_that_no_float_can_hold_are_left_out() -> None:
    """In a text without spaces, a whole paragraph is one word: exp(1,000) is no float."""
    metrics = metrics_of(nats=1000.0, tokens=200, text="\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 60)
    assert metrics.word_perplexity is None
    assert metrics.token_perplexity == pytest.approx(math.exp(5))
    assert "Infinity" not in json.dumps(asdict(metrics))


def test_metric_of_the_evaluate_library_is_the_same_formula() -> None:
    score = scoring.score(Bigram(4), bigram_tokenizer(), "abbabab")
    metric = evaluate.load(str(ROOT / "compare/ruler/bits_per_byte"))
    spans = np.diff(score.byte_ends, prepend=0)
    values = metric.compute(nats=score.nats.tolist(), bytes=spans.tolist(), text="abbabab")
    assert values == pytest.approx(asdict(score.metrics))
    with pytest.raises(ValueError, match="the tokens have 7 bytes, but the text has 3"):
        metric.compute(nats=score.nats.tolist(), bytes=spans.tolist(), text="abb")


@pytest.mark.parametrize(("text", "stride"), [("", None), ("ab", 0), ("ab", 9)])
def test_senseless_arguments_are_refused(text: str, stride: int | None) -> None:
    with pytest.raises(ValueError):
        scoring.score(Bigram(8), bigram_tokenizer(), text, stride)
