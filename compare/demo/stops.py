"""Which answers are still wanted: of each visitor the newest one, until Stop is pressed.

Gradio could cancel the answer itself.  But an update that is on its way would then replace the
message that it was stopped.  The answer therefore checks this, and ends with that message.
"""

from __future__ import annotations

import itertools


class Stops:
    """Numbers the requests of all visitors, and knows which of them are stopped."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._newest: dict[str, int] = {}

    def begin(self, visitor: str) -> int:
        """Return the number of a new request of `visitor`.  Earlier ones are stopped."""
        self._newest[visitor] = next(self._numbers)
        return self._newest[visitor]

    def stop(self, visitor: str) -> None:
        """Stop the requests of `visitor` so far."""
        self._newest[visitor] = next(self._numbers)

    def is_stopped(self, visitor: str, request: int) -> bool:
        """Return whether `visitor` has pressed Stop, or requested another answer, since then."""
        return request != self._newest.get(visitor)
