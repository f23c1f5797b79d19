"""Which visitors of the page have pressed Stop.

Gradio could cancel the answer itself.  But an update that is on its way would then replace the
message that it was stopped.  The answer therefore checks this, and ends with that message.
"""

from __future__ import annotations

import itertools


class Stops:
    """Which answers each visitor has stopped: all that were requested before the last Stop."""

    def __init__(self) -> None:
        self._requests = itertools.count(1)
        self._last_request: dict[str, int] = {}
        self._stopped: dict[str, int] = {}

    def begin(self, visitor: str) -> None:
        """Note that `visitor` requests an answer: Stop, if pressed before, was about another."""
        self._last_request[visitor] = next(self._requests)

    def newest(self, visitor: str) -> int:
        """Return the number of the newest request of `visitor`; later ones have higher numbers."""
        return self._last_request.get(visitor, 0)

    def stop(self, visitor: str) -> None:
        """Note that `visitor` has pressed Stop."""
        self._stopped[visitor] = self.newest(visitor)

    def is_stopped(self, visitor: str, request: int) -> bool:
        """Return whether `visitor` has pressed Stop since the answer was requested."""
        return request <= self._stopped.get(visitor, -1)
