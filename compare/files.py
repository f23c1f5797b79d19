"""Files: written whole, checked by their checksums, and by one process at a time."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from filelock import FileLock, Timeout

from compare.errors import Misuse


def write_atomically(path: Path, data: bytes) -> None:
    """Readers of `path` see the old content or all of `data`, never a part of it.

    Raises OSError, with the path, when it cannot be written.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            new.unlink()
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def checksums(folder: Path) -> dict[str, str]:
    """The sha256 of each file in `folder`, by name."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.is_file()
    }


def damaged_files(folder: Path, expected: dict[str, str]) -> list[str]:
    """The files that are missing from `folder`, or whose sha256 is not the expected one."""
    actual = checksums(folder) if folder.is_dir() else {}
    return [name for name, digest in expected.items() if actual.get(name) != digest]


def hold_lock(path: Path, protected: str) -> FileLock:
    """Lock the file `path` for as long as the result lives, or until it is released.

    Raises Misuse, naming what the lock has `protected`, when another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Misuse(f"another process is writing {protected}: wait until it has ended") from None
    return lock


def cache_folder() -> Path | None:
    """Where downloads and derived files are kept between runs; None for a user without a home.

    Nowhere else is safe: in a directory that all users share, anyone could leave another file.
    """
    root = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(root or Path.home() / ".cache") / "tiny-shakespeare-study"
    except RuntimeError:  # neither HOME nor an entry in the list of users
        return None
