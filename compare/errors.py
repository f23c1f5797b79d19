"""How a command can fail; `compare.cli` turns each error into one line and an exit code."""

from __future__ import annotations


class Misuse(Exception):
    """The user asked for something that is not possible: one line on stderr, exit code 2."""


class Failure(Exception):
    """The work could not be done: one line on stderr, exit code 1."""


class Interrupted(Exception):
    """A training was asked to stop, has stopped, and can be resumed: exit code 128 + signal."""

    def __init__(self, signal_number: int, command: str) -> None:
        super().__init__(f"interrupted; to go on: {command} --resume")
        self.code = 128 + signal_number
