"""One process at a time where files are written that belong together."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from compare.cli import Misuse


def hold(path: Path, what: str) -> FileLock:
    """The lock in file `path`, held as long as the result lives, at most as long as the process.

    Raises Misuse, naming `what` would be written to, when another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Misuse(f"another process is writing {what}: wait until it has ended") from None
    return lock
