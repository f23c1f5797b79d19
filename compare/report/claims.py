"""What the report claims: a few questions, answered by paired differences that hold
simultaneously.

All other pairs of rows stand in a matrix, with intervals that hold one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from compare.corpus.parts import Part
from compare.kinds import RowKind
from compare.report.differences import Difference, PairDifference, PartDifference, Question
from compare.report.results import ResultRow, WordClassResult
from compare.ruler.intervals import Estimate, Uncertainty, interval, simultaneous_intervals


def claims(
    rows: Sequence[ResultRow],
    best_scratch: RowKind,
    bases: Sequence[str],
    word_classes: Sequence[WordClassResult],
    parts: Sequence[Part],
    uncertainty: Uncertainty | None,
) -> list[Difference]:
    """Answer the study's questions, each for the whole test split and for each of its parts.

    `best_scratch` is the scratch preset that is best on validation, and `bases` are the names of
    the pretrained models; the study's answer is about the first.  All intervals together contain
    the true differences with probability 95%.  Without `uncertainty`, because the text is too short
    for intervals, the differences have none.
    """
    asked = _questions(rows, best_scratch, bases)
    estimates: list[Estimate] = []
    # For each question: the index of its estimate for the whole text, then for each part.
    indices: list[list[int | None]] = []
    for _, a, b in asked:
        of_question: list[int | None] = []
        for part in (None, *range(len(parts))):
            if uncertainty is None or (part is not None and not uncertainty.has_interval(part)):
                of_question.append(None)
                continue
            of_question.append(len(estimates))
            estimates.append(uncertainty.difference(a.name, b.name, part))
        indices.append(of_question)
    bounds = simultaneous_intervals(estimates) if estimates else []
    differences = []
    for (question, a, b), (whole, *of_parts) in zip(asked, indices, strict=True):
        differences.append(
            Difference(
                question=question,
                a=a.name,
                b=b.name,
                delta_bits_per_byte=a.bits_per_byte - b.bits_per_byte,
                ci95=None if whole is None else bounds[whole],
                by_play={
                    part.name: PartDifference(
                        delta_bits_per_byte=(
                            a.by_play[part.name].bits_per_byte - b.by_play[part.name].bits_per_byte
                        ),
                        ci95=None if index is None else bounds[index],
                    )
                    for part, index in zip(parts, of_parts, strict=True)
                },
                by_word_class={
                    each.word_class: (each.bits_per_byte[a.name] - each.bits_per_byte[b.name])
                    * each.bytes
                    / a.bytes
                    for each in word_classes
                },
            )
        )
    return differences


def _questions(
    rows: Sequence[ResultRow], best_scratch: RowKind, bases: Sequence[str]
) -> list[tuple[Question, ResultRow, ResultRow]]:
    """Return each question whose rows exist, with the rows that answer it."""
    of_no_base = {row.kind: row for row in rows if row.base is None}
    scratch = of_no_base[best_scratch]
    questions: list[tuple[Question, ResultRow, ResultRow]] = []
    for base in bases:
        of_base = {row.kind: row for row in rows if row.base == base}
        fine_tuned = of_base.get(RowKind.FINE_TUNED) or of_base.get(RowKind.LORA)
        if fine_tuned is None:  # only a control was trained
            continue
        questions.append((Question.FROM_SCRATCH, fine_tuned, scratch))
        for question, other in (
            (Question.PRETRAINING, RowKind.RANDOM_WEIGHTS),
            (Question.FINE_TUNING, RowKind.ZERO_SHOT),
        ):
            if other in of_base:
                questions.append((question, fine_tuned, of_base[other]))
    if RowKind.N_GRAM in of_no_base:
        questions.append((Question.N_GRAM, scratch, of_no_base[RowKind.N_GRAM]))
    return questions


def pair_matrix(
    rows: Sequence[ResultRow], names: Sequence[str], uncertainty: Uncertainty | None
) -> list[PairDifference]:
    """Return the differences of all pairs out of `names`, in the order of `rows`.

    Each interval holds by itself with probability 95%; they do not hold simultaneously.
    """
    compared = [row for row in rows if row.name in names]
    return [
        PairDifference(
            a=a.name,
            b=b.name,
            delta_bits_per_byte=a.bits_per_byte - b.bits_per_byte,
            ci95=interval(uncertainty.difference(a.name, b.name)) if uncertainty else None,
        )
        for a, b in combinations(compared, 2)
    ]
