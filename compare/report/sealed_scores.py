"""Scores and differences on the sealed text, once it has been opened."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

from compare.corpus import Corpus
from compare.corpus.sealed import sealed_text
from compare.errors import Failure
from compare.report.differences import Difference, PairDifference
from compare.report.results import PartScore, ResultRow, SealedResult
from compare.ruler.intervals import Uncertainty, interval, simultaneous_intervals
from compare.ruler.scoring import Score
from compare.ruler.text_units import split_into_units
from compare.runs.start import code_version


def text_to_score(corpus: Corpus, opens: bool, was_opened: bool) -> str | None:
    """Return the sealed text if this report `opens` it, or if an earlier one has opened it.

    Raises Misuse or Failure if this report cannot open it.  A later report that cannot read it is
    written without it, after a warning.
    """
    if not opens and not was_opened:
        return None
    try:
        return sealed_text(corpus)
    except Failure as error:
        if opens:
            raise
        print(f"WARNING: no scores of the sealed text: {error}", file=sys.stderr)
        return None


def uncertainty_of(scores: Mapping[str, Sequence[Score]], text: str) -> Uncertainty:
    """Return the uncertainty of the rows' `scores`, one for each run, on the sealed `text`."""
    units = split_into_units(text)
    return Uncertainty(scores, units, [int(units.ends[-1])])


def with_sealed(
    rows: Sequence[ResultRow], names: Sequence[str], uncertainty: Uncertainty
) -> list[ResultRow]:
    """Return `rows`; those called `names` have their scores on the sealed text."""
    scored = []
    for row in rows:
        if row.name in names:
            estimate = uncertainty.score(row.name)
            part = PartScore(bits_per_byte=estimate.value, ci95=interval(estimate))
            row = row.model_copy(update={"sealed": part})
        scored.append(row)
    return scored


def sealed_differences(
    differences: Sequence[Difference], uncertainty: Uncertainty
) -> list[PairDifference]:
    """Answer the questions of `differences` on the sealed text.

    All intervals together contain the true differences with probability 95%.
    """
    estimates = [uncertainty.difference(each.a, each.b) for each in differences]
    bounds = simultaneous_intervals(estimates)
    return [
        PairDifference(a=each.a, b=each.b, delta_bits_per_byte=estimate.value, ci95=ci95)
        for each, estimate, ci95 in zip(differences, estimates, bounds, strict=True)
    ]


def opened_now(text: str, rows: Sequence[str]) -> SealedResult:
    """Return the note that the sealed `text` has just been opened, by which code, for `rows`."""
    code = code_version()
    return SealedResult(
        chars=len(text),
        bytes=len(text.encode()),
        opened=time.strftime("%Y-%m-%d", time.gmtime()),
        git_commit=code.commit,
        git_dirty=code.is_dirty,
        rows=list(rows),
    )
