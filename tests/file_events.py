"""Send a process a signal, such as SIGKILL, at a certain file event.

Unlike with a parent process that watches the files and sends a signal, scheduling does not matter.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

WRITES = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True)
class FileEvent:
    """The `count`-th time that `kind` happens to a file called `name`."""

    kind: Literal["open", "os.rename", "shutil.rmtree"]
    """One of Python's audit events.  `open` is for writing; `os.rename` includes `os.replace`."""
    name: str
    """Of the file, or of the target of the rename."""
    count: int


def send_at(event: FileEvent, number: signal.Signals) -> None:
    """Let this process receive the signal `number` just before `event` happens."""
    left = event.count

    def note(audited: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if audited != event.kind:
            return
        path = arguments[1] if event.kind == "os.rename" else arguments[0]
        if not isinstance(path, str | Path) or Path(path).name != event.name:
            return
        if event.kind == "open" and not arguments[2] & WRITES:
            return
        left -= 1
        if not left:
            os.kill(os.getpid(), number)

    sys.addaudithook(note)
