"""Baselines: probabilities add up to 1, and counts and sizes agree with hand computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare.errors import Failure
from compare.report import compressors, ngram
from compare.report.ngram import ORDERS, KeptNGram, KneserNey, best_kneser_ney
from compare.ruler.scoring import Score

TEXT = b"the cat sat on the mat; the rat sat on the cat. the bat sat on the rat."
SHAKESPEARE = (
    b"First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n\n"
    b"First Citizen:\nYou are all resolved rather to die than to famish?\n\nAll:\nResolved. "
    b"resolved.\n\nFirst Citizen:\nFirst, you know Caius Marcius is chief enemy to the people.\n\n"
)
# Three copies and the beginning of a fourth: almost all grams are there three times, and few twice.
THREE_TIMES = b"\n".join([SHAKESPEARE] * 3) + b"EPILOGUE:\n" + SHAKESPEARE[:30]
DEGENERATE = {
    "one byte repeated": b"a" * 3000,
    "three times over": SHAKESPEARE * 3,
    "three times and a bit": THREE_TIMES,
    "two bytes": b"ab" + b"a" * 500,
    "alternating": b"ab" * 1500,
    "random bytes": np.random.default_rng(0).bytes(3000),
    "very short": b"To",
    "nothing": b"",
}


@given(text=st.binary(min_size=1, max_size=80), order=st.integers(1, 5), data=st.data())
def test_probabilities_after_any_history_add_up_to_one(
    text: bytes, order: int, data: st.DataObject
) -> None:
    model = KneserNey(text, order)
    history = data.draw(st.one_of(st.just(text), st.binary(max_size=4))).rjust(order, b"\0")
    total = sum(model.probability(history, bytes([byte])) for byte in range(256))
    assert math.isclose(total, 1.0)
    assert all(model.probability(history, bytes([byte])) > 0 for byte in range(256))


@pytest.mark.parametrize("order", [ORDERS[0], ORDERS[-1]])
@pytest.mark.parametrize("text", DEGENERATE.values(), ids=DEGENERATE.keys())
def test_texts_unlike_any_language_keep_positive_probabilities_that_add_up_to_one(
    text: bytes, order: int
) -> None:
    model = KneserNey(text, order)
    for discounts in model.discounts:
        assert all(0 <= each <= count for count, each in enumerate(discounts)), discounts
        assert all(each > 0 for each in discounts[1:]), discounts
    padded = b"\0" * order + text
    seen = [padded[at : at + order] for at in range(0, len(text) + 1, max(1, len(text) // 20))]
    unseen = [b"\xff" * order, b"\0" * (order - 1) + b"\xfe", (b"zq" * order)[:order]]
    partly_seen = [b"\xff" * (order - 1) + text[:1], b"\xff" + text[1:order].rjust(order - 1, b"q")]
    for history in [*seen, *unseen, *partly_seen]:
        probabilities = [model.probability(history, bytes([byte])) for byte in range(256)]
        assert all(0 < p < 1 for p in probabilities), history
        assert math.fsum(probabilities) == pytest.approx(1, abs=1e-12)
    nats = model.score("a text that it has not read: \u00e9").nats
    assert np.isfinite(nats).all() and (nats > 0).all()


def test_bigram_by_hand() -> None:
    """Text "aab": bigrams <0>a, aa and ab once each, so few that every discount is 0.5."""
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
    assert score.metrics.bytes == 9 and score.byte_ends.tolist() == list(range(1, 10))
    first = model.probability(b"\0\0", b"t") * model.probability(b"\0t", b"h")
    assert np.exp(-score.nats[:2].sum()) == pytest.approx(first)
    assert model.score("the cat").nats.sum() < model.score("eht tac").nats.sum()


def test_scores_are_kept_and_the_model_is_not_trained_again(
    tiny_shakespeare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, validation, text = tiny_shakespeare[:5000], tiny_shakespeare[5000:6000], "To be\n"
    first = KeptNGram(train, validation)
    score = first.score(text)
    assert np.array_equal(score.nats, best_kneser_ney(train, validation).score(text).nats)
    monkeypatch.setattr(ngram, "best_kneser_ney", None)  # cannot be called
    second = KeptNGram(train, validation)
    assert second.order == first.order
    assert np.array_equal(second.score(text).nats, score.nats)
    assert np.array_equal(second.score(text).byte_ends, score.byte_ends)
    with pytest.raises(TypeError):
        second.score(text, keep=False)
    with pytest.raises(TypeError):
        KeptNGram(train + "!", validation)


def test_order_is_chosen_on_validation(tiny_shakespeare: str) -> None:
    train, validation = tiny_shakespeare[:40_000], tiny_shakespeare[40_000:44_000]
    best = best_kneser_ney(train, validation)
    nats = best.score(validation).nats.sum()
    assert nats <= KneserNey(train.encode(), 8).score(validation).nats.sum()
    assert nats <= KneserNey(train.encode(), 4).score(validation).nats.sum()


def test_of_a_text_three_times_over_the_order_is_still_chosen_by_what_validation_needs() -> None:
    """Negative discounts would give logarithms of negative numbers, which are not comparable."""
    train, validation = THREE_TIMES.decode(), SHAKESPEARE.decode()[:300] + "zounds"
    models = {order: KneserNey(train.encode(), order) for order in ORDERS}
    needed = {order: model.score(validation).nats.sum() for order, model in models.items()}
    assert all(math.isfinite(nats) for nats in needed.values())
    assert best_kneser_ney(train, validation).order == min(needed, key=needed.get) != ORDERS[0]


def test_nats_that_are_no_number_choose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    nan = Score(np.array([math.nan]), np.array([1]), "a")
    monkeypatch.setattr(KneserNey, "score", lambda *_: nan)
    with pytest.raises(Failure, match="4-gram needs nan nats"):
        best_kneser_ney("abc", "a")


@pytest.mark.parametrize("name", compressors.COMPRESSORS)
def test_compressors_learn_from_the_training_split(name: str, tiny_shakespeare: str) -> None:
    text = tiny_shakespeare[20_000:24_000]
    alone = compressors.bits_per_byte(name, "", text)
    after = compressors.bits_per_byte(name, tiny_shakespeare[:20_000], text)
    assert 1 < after < alone < 8
    # What was read once costs little the second time.
    assert compressors.bits_per_byte(name, text, text) < alone / 2
