"""What is seen only when hand-ins are compared with each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from compare.verify.points import Outcome, Verification


def notes(outcomes: Sequence[Outcome]) -> list[str]:
    """Name hand-ins with the same weights.

    One is a copy of the other, or they have the same recipe and seed on the same kind of machine.
    """
    by_weights = defaultdict(list)
    for outcome in outcomes:
        if isinstance(outcome, Verification) and outcome.measurements.weights_sha256:
            by_weights[outcome.measurements.weights_sha256].append(outcome.what)
    return [
        f"the same weights, byte for byte: {', '.join(names)}; one is a copy, or they were trained "
        "with the same recipe and seed on the same kind of machine: ask who trained them"
        for names in by_weights.values()
        if len(names) > 1
    ]
