"""The floors: probabilities that add up, counts by hand, sizes that mean what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare import compressors
from compare.ngram import KneserNey, best_kneser_ney

TEXT = b"the cat sat on the mat; the rat sat on the cat. the bat sat on the rat."


@given(text=st.binary(min_size=1, max_size=80), order=st.integers(1, 5), data=st.data())
def test_probabilities_after_any_history_add_up_to_one(
    text: bytes, order: int, data: st.DataObject
) -> None:
    model = KneserNey(text, order)
    history = data.draw(st.one_of(st.just(text), st.binary(max_size=4))).rjust(order, b"\0")
    total = sum(model.probability(history, bytes([byte])) for byte in range(256))
    assert math.isclose(total, 1.0)
    assert all(model.probability(history, bytes([byte])) > 0 for byte in range(256))


def test_bigram_by_hand() -> None:
    """Text "aab": bigrams <0>a, aa, ab, once each; too few counts, so every discount is 0.5."""
    model = KneserNey(b"aab", 2)
    # Continuation counts: a follows {<0>, a}, b follows {a}: total 3, discounted by 0.5 twice.
    unigram_a = (2 - 0.5 + (0.5 + 0.5) / 256) / 3
    unigram_b = (1 - 0.5 + (0.5 + 0.5) / 256) / 3
    assert model.probability(b"a", b"a") == pytest.approx((1 - 0.5 + 1.0 * unigram_a) / 2)
    assert model.probability(b"a", b"b") == pytest.approx((1 - 0.5 + 1.0 * unigram_b) / 2)
    # A history that was never seen leaves the unigram.
    assert model.probability(b"x", b"a") == pytest.approx(unigram_a)


def test_score_covers_every_byte_and_is_the_product_of_probabilities() -> None:
    model = KneserNey(TEXT, 3)
    score = model.score("the caf\u00e9")
    assert score.summary()["bytes"] == 9 and score.byte_ends.tolist() == list(range(1, 10))
    first = model.probability(b"\0\0", b"t") * model.probability(b"\0t", b"h")
    assert np.exp(-score.nats[:2].sum()) == pytest.approx(first)
    assert model.score("the cat").nats.sum() < model.score("eht tac").nats.sum()


def test_order_is_chosen_on_validation(tiny_shakespeare: str) -> None:
    train, validation = tiny_shakespeare[:40_000], tiny_shakespeare[40_000:44_000]
    best = best_kneser_ney(train, validation)
    nats = best.score(validation).nats.sum()
    assert nats <= KneserNey(train.encode(), 8).score(validation).nats.sum()
    assert nats <= KneserNey(train.encode(), 4).score(validation).nats.sum()


@pytest.mark.parametrize("name", compressors.COMPRESSORS)
def test_compressors_learn_from_the_training_split(name: str, tiny_shakespeare: str) -> None:
    text = tiny_shakespeare[20_000:24_000]
    alone = compressors.bits_per_byte(name, "", text)
    after = compressors.bits_per_byte(name, tiny_shakespeare[:20_000], text)
    assert 1 < after < alone < 8
    # What was read once costs little the second time.
    assert compressors.bits_per_byte(name, text, text) < alone / 2
