"""An n-gram model over bytes with modified Kneser-Ney smoothing, frozen after training.

Chen and Goodman 1998, "An Empirical Study of Smoothing Techniques for Language Modeling", section
3: interpolated, three discounts per order, continuation counts below the highest order, and the
uniform distribution over 256 bytes at the bottom.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np

from compare.errors import Failure
from compare.ruler.scoring import Score

ORDERS = range(4, 9)  # tried on the validation split
# Not 0: where every count after a context is discounted by 0, nothing is left for the bytes that
# were never seen there, and the first of them in a text would cost infinitely many nats.
LEAST_DISCOUNT = 0.01


class KneserNey:
    """P(byte | the `order` - 1 bytes before it)."""

    def __init__(self, text: bytes, order: int) -> None:
        self.order = order
        padded = self._pad(text)
        grams = Counter(padded[at : at + order] for at in range(len(text)))
        # Highest order: how often; below: after how many different bytes.
        self.counts: list[Counter[bytes]] = [grams]
        for _ in range(order - 1):
            self.counts.insert(0, Counter(gram[1:] for gram in self.counts[0]))
        self.discounts = [_discounts(counts) for counts in self.counts]
        # For each context: the sum of its counts, and what discounting takes from it.
        self.totals: list[dict[bytes, int]] = []
        self.taken: list[dict[bytes, float]] = []
        for counts, discount in zip(self.counts, self.discounts, strict=True):
            totals: dict[bytes, int] = defaultdict(int)
            taken: dict[bytes, float] = defaultdict(float)
            for gram, count in counts.items():
                totals[gram[:-1]] += count
                taken[gram[:-1]] += discount[min(count, 3)]
            self.totals.append(dict(totals))
            self.taken.append(dict(taken))

    def probability(self, history: bytes, byte: bytes) -> float:
        """P(byte | history), for a history of at least `order` - 1 bytes."""
        p = 1 / 256
        for n in range(self.order):
            context = history[len(history) - n :]
            total = self.totals[n].get(context)
            if total is None:
                break
            count = self.counts[n].get(context + byte, 0)
            p = (count - self.discounts[n][min(count, 3)] + self.taken[n][context] * p) / total
        return p

    def score(self, text: str) -> Score:
        """Nats of every byte of `text`, which is read from its beginning, without what precedes."""
        data = text.encode()
        padded, before = self._pad(data), self.order - 1
        probabilities = [
            self.probability(padded[at : at + before], padded[at + before : at + before + 1])
            for at in range(len(data))
        ]
        return Score(-np.log(probabilities), np.arange(1, len(data) + 1), text)

    def _pad(self, text: bytes) -> bytes:
        return b"\0" * (self.order - 1) + text


def best_kneser_ney(train: str, validation: str) -> KneserNey:
    """The order of ORDERS that needs fewest nats for the validation split.

    Raises Failure when an order's nats are no finite number, which could not be compared.
    """
    best, fewest = None, math.inf
    for order in ORDERS:
        model = KneserNey(train.encode(), order)
        nats = float(model.score(validation).nats.sum())
        if not math.isfinite(nats):
            raise Failure(
                f"the {order}-gram needs {nats} nats for the validation split: this is a fault in "
                "compare/ngram.py, please report it with the text"
            )
        if nats < fewest:
            best, fewest = model, nats
    return best


def _discounts(counts: Counter[bytes]) -> tuple[float, float, float, float]:
    """Discounts of counts 0, 1, 2 and above, from the numbers of grams seen 1 to 4 times.

    Chen and Goodman's formula estimates them from those numbers alone, and gives negative ones for
    texts in which grams seen 3 or 4 times are more than those seen twice or 3 times (a text three
    times over has hardly any others).  Each is held between LEAST_DISCOUNT and its count.
    """
    n1, n2, n3, n4 = (sum(count == times for count in counts.values()) for times in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):  # an order with a handful of grams: absolute discounting
        return 0.0, 0.5, 0.5, 0.5
    y = n1 / (n1 + 2 * n2)
    found = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    bounded = (min(max(LEAST_DISCOUNT, each), count) for count, each in enumerate(found, 1))
    return 0.0, *bounded
