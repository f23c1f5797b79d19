"""Which visitors of the page have pressed Stop.

Gradio could cancel the answer itself.  But an update that is on its way would then replace the
message that it was stopped.  The answer therefore checks this, and ends with that message.
"""

from __future__ import annotations


class Stops:
    """The visitors who have pressed Stop since their current answer began."""

    def __init__(self) -> None:
        self._visitors: set[str] = set()

    def begin(self, visitor: str) -> None:
        """Note that a new answer begins: Stop, if pressed before, was about another."""
        self._visitors.discard(visitor)

    def stop(self, visitor: str) -> None:
        """Note that `visitor` has pressed Stop."""
        self._visitors.add(visitor)

    def is_stopped(self, visitor: str) -> bool:
        """Return whether `visitor` has pressed Stop since the answer began."""
        return visitor in self._visitors
