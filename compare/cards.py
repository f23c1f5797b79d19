"""What a model card says of itself in its front matter, whoever wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub

NAME = "README.md"
LICENSE = r"[a-z0-9][a-z0-9.+-]*"  # as the Hub writes them: mit, apache-2.0, cc-by-sa-3.0
MARK = "tiny-shakespeare-study"  # the tag by which `--push` knows the repositories of this study


def front_matter(path: Path) -> dict[str, Any]:
    """The fields of the card in file `path`; none where there is no such file or it is damaged."""
    try:
        return huggingface_hub.metadata_load(path) or {}
    except Exception:  # strangers' YAML fails in many ways, and then it says nothing
        return {}


def is_of_the_study(path: Path) -> bool:
    """Whether the card in file `path` carries the mark of this study."""
    tags = front_matter(path).get("tags")
    return isinstance(tags, list) and MARK in tags
