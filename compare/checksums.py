"""Is a directory still as it was written?"""

from __future__ import annotations

import hashlib
from pathlib import Path


def sha256(folder: Path) -> dict[str, str]:
    """The sha256 of each file in `folder`, by name."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.is_file()
    }


def damaged(folder: Path, known: dict[str, str]) -> list[str]:
    """The files that `known` names and that are missing or different now."""
    found = sha256(folder) if folder.is_dir() else {}
    return [name for name, digest in known.items() if found.get(name) != digest]
