"""Sums between two log lines: loss and speed."""

from __future__ import annotations

import time


class Meter:
    """Counts nats, tokens and seconds since the last `read`."""

    def __init__(self) -> None:
        self._nats, self._tokens, self._began = 0.0, 0, time.perf_counter()

    def add(self, nats: float, tokens: int) -> None:
        """One step's loss, summed over its tokens, and their number."""
        self._nats += nats
        self._tokens += tokens

    def read(self) -> tuple[float, int, float]:
        """(nats, tokens, seconds) since the last time; counting begins anew."""
        now = time.perf_counter()
        counted = self._nats, self._tokens, now - self._began
        self._nats, self._tokens, self._began = 0.0, 0, now
        return counted
