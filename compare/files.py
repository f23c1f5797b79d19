"""Atomic writes of files and directories, checksums, locks, and the cache directory."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from compare.errors import Misuse

CHECKSUMS = "sha256.json"  # in a directory: the checksums of its other files


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that readers see either the old content or all of `data`.

    Missing parent directories are created.  Raises OSError, which names `path`, if the file cannot
    be written.
    """
    # Not the process number, which another machine that shares the directory may also use.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def sha256(file: Path) -> str:
    """Return the SHA-256 (hex digest) of a file, read in chunks."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 (hex digest) of each file directly in `folder`, by name."""
    return {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}


def damaged_files(folder: Path, expected: dict[str, str]) -> list[str]:
    """Return the files that are missing from `folder` or whose SHA-256 is not the expected one."""
    actual = checksums(folder) if folder.is_dir() else {}
    return [name for name, digest in expected.items() if actual.get(name) != digest]


def write_checksums(folder: Path) -> None:
    """Write the checksums of all files in `folder` into it; `changed_files` then compares them.

    Their presence also says that the directory is complete.
    """
    write_atomically(folder / CHECKSUMS, json.dumps(checksums(folder)).encode())


def changed_files(folder: Path) -> list[str]:
    """Return the files that are missing or changed since `write_checksums`.

    Returns CHECKSUMS itself if that file is missing or damaged.
    """
    try:
        expected = json.loads((folder / CHECKSUMS).read_text("utf-8"))
    except (OSError, ValueError):
        return [CHECKSUMS]
    return damaged_files(folder, expected)


def new_folder(target: Path) -> Path:
    """Return a new directory beside `target`, which `replace_folder` moves there when complete."""
    new = target.with_name(f".{target.name}")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    return new


def replace_folder(new: Path, target: Path) -> Path:
    """Move the directory `new` to `target`, in place of what was there; return `target`.

    If `new` cannot be moved, the old directory is put back.
    """
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.replace(old)
    try:
        new.replace(target)
    except OSError:
        if old.exists():
            old.replace(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
    return target


def hold_lock(path: Path, protected: str) -> FileLock:
    """Lock the file `path` until the returned lock is released or garbage-collected.

    `protected` names what the lock protects, for the error message.  Raises Misuse if another
    process holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Misuse(f"another process is writing {protected}: wait until it has exited") from None
    return lock


def cache_folder() -> Path | None:
    """Return the directory for downloads and derived files, or None for a user without a home.

    A shared directory such as /tmp would not be safe, because other users could put files there.
    """
    root = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(root or Path.home() / ".cache") / "tiny-shakespeare-study"
    except RuntimeError:  # HOME is not set, and the user is not in the password database
        return None
