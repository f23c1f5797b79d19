"""Exceptions that end a command; `compare.cli` reports each as one line and an exit code."""

from __future__ import annotations

from pathlib import Path


class Misuse(Exception):
    """An invalid request, such as one for a missing run: exit code 2."""


class Failure(Exception):
    """A valid request that could not be completed, such as a failed download: exit code 1."""


class Diverged(Failure):
    """A training run whose loss or gradient is not finite.

    `reason` says which one.  `checkpoint` is the directory of the previous checkpoint, if there is
    one.
    """

    def __init__(self, reason: str, checkpoint: Path | None) -> None:
        message = f"{reason}: try a lower learning rate"
        if checkpoint:
            message += f"; the previous checkpoint is kept in {checkpoint}"
        super().__init__(message)
        self.reason, self.checkpoint = reason, checkpoint


class Interrupted(Exception):
    """A training run that a signal has stopped and that can be resumed: exit code 128 + signal.

    `continuation` says how to continue it: usually a command.
    """

    def __init__(self, signal_number: int, continuation: str) -> None:
        super().__init__(f"interrupted; to continue: {continuation}")
        self.signal_number = signal_number
        self.code = 128 + signal_number
