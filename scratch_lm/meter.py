"""Sums between two log lines: mean loss and speed."""

from __future__ import annotations

import time


class Meter:
    """Counts nats, tokens and seconds since the last `read`."""

    def __init__(self) -> None:
        self._nats, self._tokens, self._began = 0.0, 0, time.perf_counter()

    def add(self, mean_loss: float, tokens: int) -> None:
        """One step's mean loss, in nats per token, over so many tokens."""
        self._nats += mean_loss * tokens
        self._tokens += tokens

    def read(self) -> tuple[float, int, float]:
        """(nats, tokens, seconds) since the last time; counting begins anew."""
        now = time.perf_counter()
        counted = self._nats, self._tokens, now - self._began
        self._nats, self._tokens, self._began = 0.0, 0, now
        return counted
