"""An n-gram model over bytes with modified Kneser-Ney smoothing, frozen after training.

Chen and Goodman 1998, "An Empirical Study of Smoothing Techniques for Language Modeling", section
3: interpolated, three discounts per order, continuation counts below the highest order, and the
uniform distribution over 256 bytes below the lowest order.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from functools import cached_property
from pathlib import Path

import numpy as np

from compare import files
from compare.errors import Failure
from compare.ruler.scoring import Score
from compare.runs.kept import Store

ORDERS = range(4, 9)  # candidates; the validation split selects one
# Must be positive: if all counts after a context had a discount of 0, bytes never seen in that
# context would get probability 0, and the first of them in a text would cost infinitely many nats.
MIN_DISCOUNT = 0.01


class KneserNey:
    """A byte-level model of P(byte | the `order` - 1 bytes before it), trained on `text`."""

    def __init__(self, text: bytes, order: int) -> None:
        self.order = order
        padded = self._pad(text)
        ngrams = Counter(padded[start : start + order] for start in range(len(text)))
        # The highest order counts occurrences, the lower orders count distinct preceding bytes.
        self.counts: list[Counter[bytes]] = [ngrams]
        for _ in range(order - 1):
            self.counts.insert(0, Counter(ngram[1:] for ngram in self.counts[0]))
        self.discounts = [_discounts(counts) for counts in self.counts]
        # Per context: the sum of its counts, and the sum of their discounts.
        self.totals: list[dict[bytes, int]] = []
        self.discounted: list[dict[bytes, float]] = []
        for counts, discount in zip(self.counts, self.discounts, strict=True):
            totals: dict[bytes, int] = defaultdict(int)
            discounted: dict[bytes, float] = defaultdict(float)
            for ngram, count in counts.items():
                totals[ngram[:-1]] += count
                discounted[ngram[:-1]] += discount[min(count, 3)]
            self.totals.append(dict(totals))
            self.discounted.append(dict(discounted))

    def probability(self, history: bytes, byte: bytes) -> float:
        """Return P(byte | history), for a history of at least `order` - 1 bytes."""
        p = 1 / 256
        for n in range(self.order):
            context = history[len(history) - n :]
            total = self.totals[n].get(context)
            if total is None:
                break
            count = self.counts[n].get(context + byte, 0)
            p = (count - self.discounts[n][min(count, 3)] + self.discounted[n][context] * p) / total
        return p

    def score(self, text: str) -> Score:
        """Score every byte of `text` in nats, without any context before its first byte."""
        data = text.encode()
        padded, before = self._pad(data), self.order - 1
        probabilities = [
            self.probability(padded[end - before : end], padded[end : end + 1])
            for end in range(before, len(padded))
        ]
        return Score(-np.log(probabilities), np.arange(1, len(data) + 1), text)

    def _pad(self, text: bytes) -> bytes:
        return b"\0" * (self.order - 1) + text


class KeptNGram:
    """The model that `best_kneser_ney` returns, with its order and its scores kept.

    It is trained only if a score is asked for that has not been kept.
    """

    def __init__(self, train: str, validation: str) -> None:
        code = files.sha256(Path(__file__))
        self._texts = train, validation
        self._store = Store({"ngram code": code, "train": train, "validation": validation})
        self.order = int(
            self._store.get(lambda: {"order": np.array([self._model.order])})["order"][0]
        )

    def score(self, text: str, keep: bool = True) -> Score:
        """Return the score of every byte of `text`; without `keep`, compute it anew."""
        if not keep:
            return self._model.score(text)
        nats = self._store.get(lambda: {"nats": self._model.score(text).nats}, text=text)["nats"]
        return Score(nats, np.arange(1, len(nats) + 1), text)

    @cached_property
    def _model(self) -> KneserNey:
        return best_kneser_ney(*self._texts)


def best_kneser_ney(train: str, validation: str) -> KneserNey:
    """Return the model whose order, out of ORDERS, needs the fewest nats on the validation split.

    Raises Failure if the score of a model is NaN or infinite.
    """
    best, fewest_nats = None, math.inf
    for order in ORDERS:
        model = KneserNey(train.encode(), order)
        nats = float(model.score(validation).nats.sum())
        if not math.isfinite(nats):
            raise Failure(
                f"the {order}-gram needs {nats} nats for the validation split: this is a bug in "
                "compare/report/ngram.py, please report it together with the text"
            )
        if nats < fewest_nats:
            best, fewest_nats = model, nats
    assert best is not None, "the nats of the first order are finite, hence fewer than infinity"
    return best


def _discounts(counts: Counter[bytes]) -> tuple[float, float, float, float]:
    """Return the discounts for the counts 0, 1, 2, and 3 or more.

    Chen and Goodman estimate them from the numbers of n-grams that occur 1, 2, 3 and 4 times.  The
    formula gives negative discounts if n-grams with 3 or 4 occurrences outnumber those with 2 or 3,
    as in a text repeated three times.  Each discount is therefore clipped to the range from
    MIN_DISCOUNT to its count.
    """
    n1, n2, n3, n4 = (sum(count == times for count in counts.values()) for times in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):  # too few n-grams: absolute discounting
        return 0.0, 0.5, 0.5, 0.5
    y = n1 / (n1 + 2 * n2)
    return (
        0.0,
        _clip(1 - 2 * y * n2 / n1, 1),
        _clip(2 - 3 * y * n3 / n2, 2),
        _clip(3 - 4 * y * n4 / n3, 3),
    )


def _clip(discount: float, count: int) -> float:
    return min(max(MIN_DISCOUNT, discount), count)
