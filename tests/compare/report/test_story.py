"""The answer in plain words says no more than the interval of the headline supports."""

from __future__ import annotations

import pytest

from compare.kinds import RowKind
from compare.report import story
from compare.report.results import Difference, Question, Results
from compare.ruler.metrics import Interval
from tests.result_rows import make_row


def results(*differences: Difference) -> Results:
    """Return results with two rows and these differences, and nothing else."""
    rows = [make_row(RowKind.FINE_TUNED, 1.5), make_row(RowKind.TUNED, 2.0)]
    return Results.model_construct(rows=rows, differences=list(differences))


def difference(question: Question, delta: float, ci95: Interval | None) -> Difference:
    return Difference(
        question=question,
        a="fine-tuned",
        b="tuned",
        delta_bits_per_byte=delta,
        ci95=ci95,
        by_play={},
        by_word_class={},
    )


@pytest.mark.parametrize(
    ("ci95", "words"),
    [
        ((-0.6, -0.4), "fine-tuned predicts the test text better than tuned"),
        ((-0.6, 0.4), "does not show whether fine-tuned or tuned is better"),
        (None, "too short to tell whether fine-tuned or tuned is better"),
    ],
)
def test_the_answer_follows_the_interval(ci95: Interval | None, words: str) -> None:
    assert words in story.answer(results(difference(Question.FROM_SCRATCH, -0.5, ci95)))


def test_the_answer_gives_both_scores_and_the_share_saved() -> None:
    answer = story.answer(results(difference(Question.FROM_SCRATCH, -0.5, (-0.6, -0.4))))
    assert "1.50 bits for each byte of text instead of 2.00, 25% fewer" in answer


def test_a_worse_model_is_called_worse() -> None:
    rows = [make_row(RowKind.FINE_TUNED, 2.5), make_row(RowKind.TUNED, 2.0)]
    claim = difference(Question.FROM_SCRATCH, 0.5, (0.4, 0.6))
    answer = story.answer(Results.model_construct(rows=rows, differences=[claim]))
    assert "worse than tuned" in answer and "25% more" in answer
