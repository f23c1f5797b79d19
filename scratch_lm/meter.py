"""Accumulates loss and speed between two log lines."""

from __future__ import annotations

import time


class Meter:
    """Accumulates nats, tokens and wall-clock seconds since the last `read`."""

    def __init__(self) -> None:
        self._nats, self._tokens, self._began = 0.0, 0, time.perf_counter()

    def add(self, nats: float, tokens: int) -> None:
        """Add one step: its loss in nats, summed over its tokens, and the number of tokens."""
        self._nats += nats
        self._tokens += tokens

    def read(self) -> tuple[float, int, float]:
        """Return (nats, tokens, seconds) since the last `read`, and reset all three to zero."""
        now = time.perf_counter()
        totals = self._nats, self._tokens, now - self._began
        self._nats, self._tokens, self._began = 0.0, 0, now
        return totals
