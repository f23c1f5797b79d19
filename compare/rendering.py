"""Pages out of Jinja templates, with texts of models and corpora kept from breaking them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2


def render(template: Path, **values: Any) -> str:
    """The template in that file, filled in; a missing value is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=jinja2.select_autoescape(["html.jinja"], default=False),
    )
    environment.filters["cell"] = cell
    environment.filters["code"] = code
    environment.filters["fenced"] = fenced
    environment.filters["large"] = large
    environment.filters["german"] = german
    environment.filters["pieces"] = pieces
    return environment.get_template(template.name).render(**values)


def cell(text: str) -> str:
    """`text` as one Markdown table cell."""
    escaped = "".join("\\" + c if c in "\\`*_[]|~" else c for c in text)
    return escaped.replace("<", "&lt;").replace("\n", " ")


def large(number: float) -> str:
    """`number` with one decimal, or as a power of ten where nobody reads the digits."""
    return f"{number:,.1f}" if number < 1e6 else f"{number:.1e}"


def german(number: float, digits: int = 0) -> str:
    """`number` with a decimal comma, and points between thousands."""
    return f"{number:,.{digits}f}".translate(str.maketrans(",.", ".,"))


def pieces(text: str, spans: list[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    """`text` cut at the borders of `spans`: (part, whether it is one of the spans)."""
    at = 0
    for start, end in spans:
        yield text[at:start], False
        yield text[start:end], True
        at = end
    yield text[at:], False


def code(text: str, in_table: bool = False) -> str:
    """`text` as Markdown code within a line."""
    ticks = "`" * (1 + _longest_ticks(text))
    text = text.replace("\n", " ").replace("|", "\\|" if in_table else "|")
    return f"{ticks} {text} {ticks}" if "`" in text else f"{ticks}{text}{ticks}"


def fenced(text: str) -> str:
    """`text` as a Markdown code block, with a fence longer than any inside."""
    fence = "`" * max(3, 1 + _longest_ticks(text))
    return f"{fence}text\n{text}\n{fence}"


def _longest_ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
