"""Render Jinja templates, escaping model output and corpus text so it cannot break the markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2

from compare import wording
from compare.kinds import BaseKind, RowKind, Track, TrackingMode

KINDS = (BaseKind, RowKind, Track, TrackingMode)
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def render(template: Path, **values: Any) -> str:
    """Render the Jinja template in file `template` with `values`.

    Templates that end in `.html.jinja` are autoescaped; the others use the filters below.  All can
    compare kinds with the enums in KINDS.
    Raises jinja2.UndefinedError if the template uses a value that is not given.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=jinja2.select_autoescape(["html.jinja"], default=False),
    )
    environment.globals.update({kind.__name__: kind for kind in KINDS})
    environment.filters["cell"] = cell
    environment.filters["code"] = code
    environment.filters["fenced"] = fenced
    environment.filters["commits"] = commits
    environment.filters["large"] = large
    environment.filters["listed"] = wording.listed
    environment.filters["share"] = wording.format_share
    environment.filters["scientific"] = scientific
    environment.filters["german"] = german
    environment.filters["split_at_spans"] = split_at_spans
    return environment.get_template(template.name).render(**values)


def cell(text: str) -> str:
    """Escape `text` for use in a Markdown table cell; newlines become spaces."""
    escaped = "".join("\\" + c if c in "\\`*_[]|~" else c for c in text)
    return escaped.replace("<", "&lt;").replace("\n", " ")


def commits(git_commit: str | None) -> str:
    """Shorten the commits in a run's record, several if it was resumed, to nine digits each."""
    if git_commit is None:
        return "unknown"
    return wording.THEN.join(commit[:9] for commit in git_commit.split(wording.THEN))


def large(number: float) -> str:
    """Format `number` with one decimal, or in scientific notation if it is one million or more."""
    return f"{number:,.1f}" if number < 1e6 else f"{number:.1e}"


def scientific(number: float) -> str:
    """Format `number` with two significant digits and a power of ten, such as 5.9 × 10¹³."""
    significand, exponent = f"{number:.1e}".split("e")
    return f"{significand} × 10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def german(number: float, digits: int = 0) -> str:
    """Format `number` the German way: decimal comma, points between thousands."""
    return f"{number:,.{digits}f}".translate(str.maketrans(",.", ".,"))


def split_at_spans(text: str, spans: list[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    """Split `text` at the borders of `spans`, which are sorted (start, end) character offsets.

    Yields (part, whether the part is one of the spans).  Parts may be empty; joined, they are
    `text`.
    """
    position = 0
    for start, end in spans:
        yield text[position:start], False
        yield text[start:end], True
        position = end
    yield text[position:], False


def code(text: str, in_table: bool = False) -> str:
    """Format `text` as inline Markdown code; `in_table` also escapes the column separator."""
    backticks = "`" * (1 + _longest_backtick_run(text))
    text = text.replace("\n", " ").replace("|", "\\|" if in_table else "|")
    return f"{backticks} {text} {backticks}" if "`" in text else f"{backticks}{text}{backticks}"


def fenced(text: str) -> str:
    """Format `text` as a Markdown code block, with a fence longer than any backtick run in it."""
    fence = "`" * max(3, 1 + _longest_backtick_run(text))
    return f"{fence}text\n{text}\n{fence}"


def _longest_backtick_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
