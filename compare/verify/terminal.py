"""Show what was found as text: all points of one hand-in, or a table of several."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from compare.verify.points import Basis, Outcomes, Point, Unavailable, Verdict, Verification

LABELS = {Verdict.PASS: "pass", Verdict.FAIL: "FAIL", Verdict.NOT_CHECKABLE: "not checkable"}
LABEL_WIDTH = len("not checkable") + 2
HEADERS = ("hand-in", "as", "pass", "fail", "not checkable", "parameters", "bits/byte", "failed")


def show(outcomes: Outcomes, width: int) -> Iterator[str]:
    """Yield the lines to print; lines of evidence are at most `width` characters long."""
    found = outcomes.outcomes
    if len(found) == 1 and isinstance(found[0], Verification):
        yield from _show_one(found[0], width)
        return
    yield from _table([HEADERS, *(_row(outcome) for outcome in found)])
    for outcome in found:
        if isinstance(outcome, Unavailable):
            yield from ("", f"{outcome.what}: not checked")
            yield from _wrap(outcome.reason, width)
        elif outcome.failed:
            yield from ("", outcome.what)
            for point in outcome.failed:
                yield from _show_point(point, width)
    for note in outcomes.notes:
        yield ""
        yield from textwrap.wrap(note, width)
    yield from ("", "for all evidence: give one of them alone, or use --json")


def _show_one(verification: Verification, width: int) -> Iterator[str]:
    """Yield all points of a hand-in, its sample, and a summary."""
    yield f"{verification.what} ({verification.kind}), checked as: {verification.assignment}"
    yield ""
    for point in verification.points:
        yield from _show_point(point, width)
    if sample := verification.measurements.sample:
        yield from ("", "sample:")
        yield from (f"    {line}" for line in sample.splitlines())
    counts = (f"{verification.count(verdict)} {verdict}" for verdict in Verdict)
    yield from ("", ", ".join(counts))
    if any(point.basis is Basis.CLAIMED for point in verification.points):
        yield "(claimed): said by a record or a card; the weights neither prove nor contradict it"


def _show_point(point: Point, width: int) -> Iterator[str]:
    """Yield the point and its evidence."""
    claimed = " (claimed)" if point.basis is Basis.CLAIMED else ""
    yield f"{LABELS[point.verdict]:<{LABEL_WIDTH}}{point.text}{claimed}"
    yield from _wrap(point.evidence, width)


def _wrap(text: str, width: int) -> list[str]:
    indent = " " * LABEL_WIDTH
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def _row(outcome: Verification | Unavailable) -> tuple[str, ...]:
    """Return the cells of a hand-in."""
    if isinstance(outcome, Unavailable):
        return (outcome.what, "", "", "", "", "", "", "not checked")
    measured = outcome.measurements
    return (
        outcome.what,
        outcome.assignment,
        *(str(outcome.count(verdict)) for verdict in Verdict),
        "" if measured.parameters is None else f"{measured.parameters:,}",
        "" if measured.bits_per_byte is None else f"{measured.bits_per_byte:.4f}",
        ", ".join(point.id for point in outcome.failed),
    )


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Yield the rows in aligned columns; numbers are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            f"{cell:>{width}}" if 2 <= column < len(row) - 1 else f"{cell:<{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
