"""Show what was found as text: all points of one hand-in, or a table of several."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence

from compare.verify.points import (
    Basis,
    Outcome,
    Outcomes,
    Point,
    Unavailable,
    Verdict,
    Verification,
)

LABELS = {Verdict.PASS: "pass", Verdict.FAIL: "FAIL", Verdict.NOT_CHECKABLE: "not checkable"}
LABEL_WIDTH = len("not checkable") + 2
# Unicode's categories of controls, formats such as a change of direction, surrogates and line ends.
UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
JOINERS = "\u200c\u200d\u00ad"  # belong to words of some scripts, and to emoji
HEADERS = ("hand-in", "as", "pass", "fail", "not checkable", "parameters", "bits/byte", "failed")


def show(outcomes: Outcomes, width: int) -> Iterator[str]:
    """Yield the lines to print; lines of evidence are at most `width` characters long.

    Names, cards and samples are of the hand-in's making, so control characters in them, which could
    rewrite what the terminal shows, are replaced.
    """
    yield from map(_printable, _lines(outcomes, width))


def describe_briefly(outcome: Outcome) -> str:
    """Return the name of a hand-in and the number of points with each verdict, on one line."""
    counts = "not checked"
    if isinstance(outcome, Verification):
        counts = _count(outcome)
    return _printable(f"{outcome.what}: {counts}")


def _lines(outcomes: Outcomes, width: int) -> Iterator[str]:
    found = outcomes.outcomes
    repeat = [] if outcomes.seed is None else [f"to repeat this check: --seed {outcomes.seed}"]
    if len(found) == 1 and isinstance(found[0], Verification):
        yield from _show_one(found[0], width)
        yield from repeat
        return
    yield from _table([HEADERS, *_rows(found)])
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
    if len(found) > 1:
        yield from ("", "for all evidence: give one of them alone, or use --json")
    yield from repeat


def _show_one(verification: Verification, width: int) -> Iterator[str]:
    """Yield all points of a hand-in, its sample, and a summary."""
    yield f"{verification.what} ({verification.description}), checked as: {verification.assignment}"
    yield ""
    for point in verification.points:
        yield from _show_point(point, width)
    if sample := verification.measurements.sample:
        yield from ("", "sample:")
        yield from (f"    {line}" for line in sample.splitlines())
    yield from ("", _count(verification))
    if any(point.basis is Basis.CLAIMED for point in verification.points):
        yield "(claimed): said by a record or a card; the weights neither prove nor contradict it"


def _count(verification: Verification) -> str:
    return ", ".join(f"{verification.count(verdict)} {verdict}" for verdict in Verdict)


def _printable(text: str) -> str:
    """Return the line `text` with the replacement character for each that is not shown as such."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(each) in UNPRINTABLE and each not in JOINERS
        else each
        for each in text.expandtabs()
    )


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


def _rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Return the cells of each hand-in.

    Scores are comparable only on the same text: those on another than the most frequent one (of
    equally frequent ones, the first) name their text.
    """
    measured = [each.measurements for each in outcomes if isinstance(each, Verification)]
    texts = [each.text for each in measured if each.bits_per_byte is not None]
    usual = max(texts, key=texts.count, default=None)
    return [_row(outcome, usual) for outcome in outcomes]


def _row(outcome: Outcome, usual_text: str | None) -> tuple[str, ...]:
    """Return the cells of a hand-in."""
    if isinstance(outcome, Unavailable):
        return (outcome.what, "", "", "", "", "", "", "not checked")
    measured = outcome.measurements
    score = "" if measured.bits_per_byte is None else f"{measured.bits_per_byte:.4f}"
    if score and measured.text != usual_text:
        score += f" on {measured.text}"
    return (
        outcome.what,
        outcome.assignment,
        *(str(outcome.count(verdict)) for verdict in Verdict),
        "" if measured.parameters is None else f"{measured.parameters:,}",
        score,
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
