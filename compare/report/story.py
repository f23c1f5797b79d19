"""The answer in plain words, and three figures that tell the story of the report."""

from __future__ import annotations

from dataclasses import dataclass, replace

from compare.kinds import Track
from compare.report.results import Difference, Question, ResultRow, Results
from compare.ruler.metrics import Interval


@dataclass(frozen=True)
class Card:
    """One figure of the story."""

    title: str
    number: str
    interval: Interval | None
    """95%, of the number, in bits per byte.  None if the text is too short for one."""
    meaning: str
    is_claim: bool
    """Whether it answers one of the study's questions: these intervals hold simultaneously."""


def answer(results: Results) -> str:
    """Return the answer to the study's question in words for readers who know no jargon.

    If the parts of the test text disagree, this is the claim that names them.
    """
    headline = results.headline
    a, b = results.row(headline.a), results.row(headline.b)
    scores = f"{a.bits_per_byte:.2f} bits for each byte of text instead of {b.bits_per_byte:.2f}"
    if not headline.parts_agree:
        return f"{headline.sentence}."
    if headline.ci95 is None:
        return f"The test text is too short to tell whether {a.name} or {b.name} is better."
    if not headline.direction:
        return f"The test text does not show whether {a.name} or {b.name} is better."
    share = abs(a.bits_per_byte - b.bits_per_byte) / b.bits_per_byte
    better = "better" if headline.direction < 0 else "worse"
    fewer = "fewer" if headline.direction < 0 else "more"
    return (
        f"{a.name} predicts the test text {better} than {b.name}, the best model trained from "
        f"scratch: it needs {scores}, {share:.0%} {fewer}."
    )


def cards(results: Results) -> list[Card]:
    """Return what training from scratch reaches, what pretraining gives, and fine-tuning adds."""
    found = [_scratch_card(results)]
    for question, title in (
        (Question.PRETRAINING, "What pretraining gives"),
        (Question.FINE_TUNING, "What fine-tuning adds"),
    ):
        # The first is about the first base, unless that has no row to compare with.
        difference = next((each for each in results.differences if each.question is question), None)
        if difference:
            card = _difference_card(title, difference)
            if question is Question.PRETRAINING:
                card = replace(
                    card, meaning=f"{card.meaning} {_compared_reading(difference, results)}"
                )
            found.append(card)
    return found


def _scratch_card(results: Results) -> Card:
    row = results.row(results.chosen_run(Track.SCRATCH).name)
    return Card(
        title="What training from scratch reaches",
        number=f"{row.bits_per_byte:.2f} bits per byte",
        interval=row.ci95,
        meaning=f"{row.name}, with {row.parameters:,} parameters, after {_reading(row, results)}.",
        is_claim=False,
    )


def _reading(row: ResultRow, results: Results) -> str:
    characters = results.corpus.splits["train"].chars
    passes = (row.trained_characters or 0) / characters
    return f"reading {characters:,} characters {passes:.0f} times"


def _compared_reading(difference: Difference, results: Results) -> str:
    """Say how much both rows of a difference have read in the study's own training."""
    a, b = (results.row(name).trained_characters or 0 for name in (difference.a, difference.b))
    if a == b:
        return f"Both were trained on {a:,} characters."
    return f"They were trained on {a:,} and {b:,} characters."


def _difference_card(title: str, difference: Difference) -> Card:
    if not difference.direction:
        return Card(title, "no difference shown", difference.ci95, f"{difference.sentence}.", True)
    sign = "−" if difference.direction < 0 else "+"
    return Card(
        title=title,
        number=f"{sign}{abs(difference.delta_bits_per_byte):.2f} bits per byte",
        interval=difference.ci95,
        meaning=f"{difference.sentence}.",
        is_claim=True,
    )
