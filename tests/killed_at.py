"""Run a module, and kill the process with SIGKILL at a certain file event.

    python tests/killed_at.py EVENT NAME COUNT MODULE ARGUMENTS...

EVENT is one of Python's audit events: `open` (for writing), `os.rename` (which includes
`os.replace`) or `shutil.rmtree`.  NAME is the name of the file, or of the target of the rename.
The process is killed just before the event happens for the COUNT-th time.  Unlike with a parent
process that watches the files and sends a signal, scheduling does not matter.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR


def kill_at(event: str, name: str, count: int) -> None:
    """Kill this process before `event` happens to a file called `name` for the `count`-th time."""
    left = count

    def note(audited: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if audited != event:
            return
        path = arguments[1] if event == "os.rename" else arguments[0]
        if not isinstance(path, str | Path) or Path(path).name != name:
            return
        if event == "open" and not arguments[2] & WRITES:
            return
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(note)


if __name__ == "__main__":
    event, name, count, module, *arguments = sys.argv[1:]
    sys.path[0] = ""  # as `python -m` has it
    sys.argv = [module, *arguments]
    kill_at(event, name, int(count))
    runpy.run_module(module, run_name="__main__", alter_sys=True)
