"""A text is really coded with a model, in as many bytes as its score says."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from compare.corpus import Corpus
from compare.errors import Misuse
from compare.ruler.scoring import score
from compare.runs import models
from compare.runs.models import Loaded
from compare.verify import range_coding
from compare.verify.points import Verdict
from compare.verify.range_coding import CONSTANT, RangeCoder, check_bytes
from tests.compare.verify.conftest import CONTEXT_LENGTH


@pytest.fixture(scope="module")
def loaded(trained: Path) -> Loaded:
    return models.load(trained, device=torch.device("cpu"))


def test_the_file_is_as_small_as_the_score_and_decodes_byte_for_byte(
    loaded: Loaded, corpus: Corpus
) -> None:
    text = corpus.test
    coder = RangeCoder(*loaded, CONTEXT_LENGTH)
    data = coder.encode(text)
    scored = float(score(*loaded, text).nats.sum()) / math.log(2) / 8
    assert abs(len(data) - scored) <= 0.001 * scored + CONSTANT
    assert len(data) < len(text) / 1.5
    # Another decoder, which only has the file and the model.
    other = RangeCoder(*models.load(Path(loaded[0].name_or_path)), CONTEXT_LENGTH)
    assert other.decode(data) == text


@pytest.mark.parametrize("text", ["a", "\n", "<|endoftext|> is no token here", "Zürich, 東京 🎭"])
def test_texts_unlike_the_training_text_survive(loaded: Loaded, text: str) -> None:
    coder = RangeCoder(*loaded, CONTEXT_LENGTH)
    assert coder.decode(coder.encode(text)) == text


def test_a_large_vocabulary_costs_nothing(loaded: Loaded) -> None:
    """Rounding to multiples of 2^-24 alone would cost 0.3% of the bits of 5 bits per token."""
    coder = RangeCoder(*loaded, CONTEXT_LENGTH)
    random = np.random.default_rng(0)
    probabilities = np.full(150_000, 1e-12)
    probabilities[random.choice(150_000, 32, replace=False)] = 1 / 32
    likely = np.flatnonzero(probabilities > 0.01)
    encoder = coder._queue.RangeEncoder()
    tokens = random.choice(likely, 4000).tolist()
    for token in tokens:
        page, place = divmod(token, range_coding.PAGE)
        encoder.encode(page, coder._pages(probabilities))
        encoder.encode(place, coder._places(probabilities, page))
    bits = 32 * len(encoder.get_compressed())
    assert bits == pytest.approx(5 * len(tokens), rel=0.001, abs=64)


class _Peeking(torch.nn.Module):
    """A model whose logits give the next token away, if it is in the input."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model, self.config, self.device = model, model.config, model.device

    def forward(self, input_ids: torch.Tensor) -> object:
        output = self.model(input_ids=input_ids)
        following = torch.nn.functional.one_hot(input_ids[:, 1:], output.logits.shape[-1])
        output.logits[:, :-1] += 10 * following
        return output


def test_a_score_from_the_future_does_not_code(loaded: Loaded, corpus: Corpus) -> None:
    model, tokenizer = loaded
    text = corpus.test[:300]
    honest = check_bytes(model, tokenizer, text, CONTEXT_LENGTH, "a text")
    assert honest.verdict is Verdict.PASS
    peeking = check_bytes(_Peeking(model), tokenizer, text, CONTEXT_LENGTH, "a text")  # type: ignore[arg-type]
    assert peeking.verdict is Verdict.FAIL


def test_without_the_coder_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "constriction", None)
    with pytest.raises(Misuse, match="pip install constriction"):
        range_coding.require_coder()
