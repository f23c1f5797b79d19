"""Markdown out of `compare/templates`, with texts of models and corpora kept from breaking it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2


def render(template: str, **values: Any) -> str:
    """A file of `compare/templates`, filled in; a missing value is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = cell
    environment.filters["fenced"] = fenced
    environment.filters["large"] = large
    return environment.get_template(template).render(**values)


def cell(text: str) -> str:
    """`text` as one Markdown table cell."""
    escaped = "".join("\\" + c if c in "\\`*_[]|~" else c for c in text)
    return escaped.replace("<", "&lt;").replace("\n", " ")


def large(number: float) -> str:
    """`number` with one decimal, or as a power of ten where nobody reads the digits."""
    return f"{number:,.1f}" if number < 1e6 else f"{number:.1e}"


def fenced(text: str) -> str:
    """`text` as a Markdown code block, with a fence longer than any inside."""
    runs_of_ticks = [len(part) for part in "".join(c if c == "`" else " " for c in text).split()]
    fence = "`" * max(3, 1 + max(runs_of_ticks, default=0))
    return f"{fence}text\n{text}\n{fence}"
