"""What pretraining is worth in text, in words: statements, and the conditions that they hold on."""

from __future__ import annotations

from dataclasses import dataclass

from compare.kinds import Track
from compare.report.results import Results
from compare.report.worth_results import Worth, WorthCurve
from compare.wording import format_share, listed


@dataclass(frozen=True)
class WorthStory:
    """The sentences of a report with runs on shares of the text."""

    introduction: str
    """Which models were trained on shares, and how."""
    statements: list[str]
    """What the intervals support.  Empty if the test split is too short for intervals."""
    conditions: str
    """What must be known before believing them."""


def tell_worth(results: Results) -> WorthStory | None:
    """Return the sentences on what pretraining is worth; None without runs on shares."""
    worth = results.worth
    if worth is None:
        return None
    names = listed([curve.name for curve in worth.curves])
    return WorthStory(
        introduction=(
            f"{names} were also trained on shares of the training split, each taken evenly from "
            "all of it. The recipe is the same except for the number of epochs; the epoch of each "
            "run that is best on validation is scored."
        ),
        statements=_statements(worth, results),
        conditions=_conditions(worth, results),
    )


def _statements(worth: Worth, results: Results) -> list[str]:
    if not worth.base_is_better:
        return [f"{equivalent.sentence}." for equivalent in worth.equivalents]
    # The bounds would only say how much longer all of the text is than a share of it.
    first = worth.equivalents[0]
    base = next(curve.base for curve in worth.curves if curve.name == first.fine_tuned)
    may_have_read = base in results.bases_pretrained_elsewhere
    return [
        f"{base} needs fewer bits per byte than {first.scratch} on all of the text even before "
        "fine-tuning, so this text is too short to say how much more of it the scratch track "
        "would need."
        + (f" {base} may have read the test text in its pretraining." if may_have_read else "")
    ]


def _conditions(worth: Worth, results: Results) -> str:
    if not worth.equivalents:
        return "No amounts of text are claimed, because the test split is too short for intervals."
    scratch, number = worth.equivalents[0].scratch, len(worth.equivalents)
    if worth.base_is_better or number == 1:
        confidence = "This holds with 95% confidence"
    else:
        confidence = f"These {number} statements hold simultaneously with 95% confidence"
    confidence += " for the numbers of epochs in the table"
    if not worth.base_is_better:  # which only compares it with the last point
        confidence += f", if the curve of {scratch} is straight between its points in the figure"
    best = results.chosen_run(Track.SCRATCH).name
    better = "or a better recipe" + (f" such as {best}" if best != scratch else "")
    sentences = [
        f"{confidence}.",
        _seeds_not_covered(worth.curves),
        "Of the scratch recipes with runs on shares, the one compared is the best on validation "
        f"with all of the text: {scratch}. More epochs, {better}, would move its curve.",
    ]
    return " ".join(filter(None, sentences))


def _seeds_not_covered(curves: list[WorthCurve]) -> str | None:
    """Say which points have a single run; None if none has."""
    points = [point for curve in curves for point in curve.trained]
    single = [point for point in points if point.seeds == 1]
    if not single:
        return None
    if single in (points, [point for point in points if point.share < 1]):
        where = " on a share of the text" if single != points else ""
        return (
            f"Each point{where} has a single run, so the intervals do not cover how its score "
            "varies with the seed."
        )
    told = []
    for curve in curves:
        shares = [point.share for point in curve.trained if point.seeds == 1]
        if shares:
            parts = ["all" if share == 1 else format_share(share) for share in shares]
            told.append(f"{curve.name} on {listed(parts)} of the text")
    where = "; ".join(told)
    if len(single) == 1:
        return (
            "One point has a single run, so the intervals do not cover how its score varies with "
            f"the seed: {where}."
        )
    return (
        "These points have a single run, so the intervals do not cover how their scores vary with "
        f"the seed: {where}."
    )
