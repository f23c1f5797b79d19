"""The answer in plain words says no more than the interval of the headline supports."""

from __future__ import annotations

import pytest

from compare.kinds import RowKind, Track
from compare.report import story
from compare.report.differences import Difference, PartDifference, Question
from compare.report.other_plays import PlayScores, summarize
from compare.report.results import (
    PartScore,
    Results,
    RunResult,
    SealedResult,
    TextPart,
    TextUnitsResult,
)
from compare.ruler.metrics import Interval
from compare.ruler.text_units import UnitKind
from tests.result_rows import make_row
from tests.run_records import BASE, CORPUS, make_epoch


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
        ((-0.6, -0.4), "predicts the rest better than our best small model"),
        ((-0.6, 0.4), "does not show whether fine-tuned or tuned is better"),
        (None, "too short to tell whether fine-tuned or tuned is better"),
    ],
)
def test_the_answer_follows_the_interval(ci95: Interval | None, words: str) -> None:
    assert words in story.answer(results(difference(Question.FROM_SCRATCH, -0.5, ci95)))


def test_scores_are_told_with_as_many_decimals_as_the_intervals() -> None:
    claim = difference(Question.FROM_SCRATCH, -0.004, (-0.006, -0.002))
    rows = [make_row(RowKind.FINE_TUNED, 1.912), make_row(RowKind.TUNED, 1.916)]
    answer = story.answer(Results.model_construct(rows=rows, differences=[claim]))
    assert "needs 1.912 bits per byte instead of 1.916, less than 1% fewer" in answer


def test_a_card_does_not_call_a_loss_an_improvement() -> None:
    claim = difference(Question.FINE_TUNING, 0.2, (0.1, 0.3))
    rows = [
        make_row(RowKind.FINE_TUNED, 1.7),
        make_row(RowKind.TUNED, 1.5, parameters=965_928),
    ]
    runs = [
        RunResult.model_construct(
            name=row.name,
            epochs=[make_epoch(number=1)],
            best_epoch=1,
            run=row.name,
            track=row.track,
        )
        for row in rows
    ]
    results = Results.model_construct(
        rows=rows,
        runs=runs,
        differences=[claim],
        corpus=CORPUS,
        chosen={Track.SCRATCH: rows[1].name},
    )
    titles = [card.title for card in story.cards(results)]
    assert titles == ["What training from scratch reaches", "What fine-tuning costs"]


def test_the_answer_names_the_parts_of_the_text_that_disagree() -> None:
    better = PartDifference(delta_bits_per_byte=-0.5, ci95=(-0.6, -0.4))
    unclear = PartDifference(delta_bits_per_byte=-0.1, ci95=(-0.3, 0.1))
    claim = difference(Question.FROM_SCRATCH, -0.3, (-0.4, -0.2))
    claim = claim.model_copy(update={"by_play": {"Hamlet": better, "Macbeth": unclear}})
    answer = story.answer(results(claim))
    # Macbeth may only be too short to show it.
    assert "depends" not in answer
    assert (
        "Over the whole test text, it is better, but not every part shows it: it is better in "
        "Hamlet, and no difference is shown in Macbeth." in answer
    )


BETTER, UNCLEAR, WORSE = (-0.6, -0.4), (-0.3, 0.1), (0.1, 0.3)


@pytest.mark.parametrize(
    ("whole", "parts", "number"),
    [
        (BETTER, (BETTER, UNCLEAR), "not shown in every part of the text"),
        (BETTER, (UNCLEAR, UNCLEAR), "not shown in every part of the text"),
        (UNCLEAR, (BETTER, UNCLEAR), "shown in parts of the text only"),
        (UNCLEAR, (BETTER, BETTER), "shown in parts of the text only"),
        (UNCLEAR, (UNCLEAR, UNCLEAR), "no difference shown"),
        (BETTER, (BETTER, WORSE), "depends on the text"),
        (BETTER, (WORSE, UNCLEAR), "depends on the text"),
        (UNCLEAR, (BETTER, WORSE), "depends on the text"),
    ],
)
def test_a_card_says_where_in_the_text_its_difference_is_shown(
    whole: Interval, parts: tuple[Interval, Interval], number: str
) -> None:
    by_play = {
        name: PartDifference(delta_bits_per_byte=sum(ci95) / 2, ci95=ci95)
        for name, ci95 in zip(("Hamlet", "Macbeth"), parts, strict=True)
    }
    claim = difference(Question.FROM_SCRATCH, sum(whole) / 2, whole)
    claim = claim.model_copy(update={"by_play": by_play})
    assert story.difference_card("", claim, results(claim)).number == number
    depends = "That depends on the part of the test text" in story.answer(results(claim))
    assert depends == (number == "depends on the text")


def test_the_answer_gives_both_scores_and_the_share_saved() -> None:
    answer = story.answer(results(difference(Question.FROM_SCRATCH, -0.5, (-0.6, -0.4))))
    assert "1.500 bits per byte instead of 2.000, 25% fewer" in answer


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (("2026-11-28", "2026-11-29", "2026-11-29"), None),
        (
            ("2026-11-28", "2026-11-30", "2026-12-01"),
            "Of the 3 training runs behind the scores below, 2 were started after that date "
            "(fine-tuned and tuned).",
        ),
        (
            ("2026-11-30", "2026-11-28", "2026-11-29"),
            "Of the 3 training runs behind the scores below, 1 was started after that date "
            "(fine-tuned).",
        ),
        (
            ("2026-11-30", "2026-11-30", "2027-01-01"),
            "All 3 training runs behind the scores below were started after that date.",
        ),
    ],
)
def test_runs_that_were_started_after_the_sealed_text_was_opened_are_counted(
    days: tuple[str, str, str], words: str | None
) -> None:
    """Not those of the same day, whose order is unknown, nor those without a score on the text."""
    on_sealed = PartScore(bits_per_byte=1.0)
    rows = [
        make_row(RowKind.FINE_TUNED, 1.5, sealed=on_sealed),
        make_row(RowKind.TUNED, 2.0, sealed=on_sealed),
        make_row(RowKind.COURSE, 2.5),
    ]
    names = ("fine-tuned", "fine-tuned", "tuned")
    runs = [
        RunResult.model_construct(name=name, started=f"{day}T05:14:36Z")
        for name, day in zip(names, days, strict=True)
    ]
    runs.append(RunResult.model_construct(name="course", started="2027-01-01T00:00:00Z"))
    sealed = SealedResult(
        chars=1, bytes=1, opened="2026-11-29", git_commit=None, git_dirty=None, rows=["tuned"]
    )
    opened = Results.model_construct(rows=rows, runs=runs, sealed=sealed)
    assert story.trained_after_opening(opened) == words


def test_the_blocks_of_each_part_are_told() -> None:
    units = TextUnitsResult(kind=UnitKind.SPEECHES, number=1500, needed=30, block_lengths=[20, 29])
    parts = [TextPart(name=name, chars=9, bytes=9) for name in ("Hamlet", "Macbeth")]
    of_parts = story.resampling(Results.model_construct(units=units, parts=parts))
    assert "together, in blocks within each part of the text." in of_parts
    assert "in a block is 20 in Hamlet and 29 in Macbeth; the text has 1,500." in of_parts
    assert "at least 1.3 times the square root of the number of speeches" in of_parts
    whole = units.model_copy(update={"block_lengths": [45]})
    of_whole = story.resampling(Results.model_construct(units=whole, parts=parts))
    assert "in a block is 45; the text has 1,500." in of_whole and "Hamlet" not in of_whole
    few = units.model_copy(update={"number": 29, "block_lengths": []})
    assert story.resampling(Results.model_construct(units=few, parts=parts)) is None


def test_a_worse_model_is_called_worse() -> None:
    rows = [make_row(RowKind.FINE_TUNED, 2.5), make_row(RowKind.TUNED, 2.0)]
    claim = difference(Question.FROM_SCRATCH, 0.5, (0.4, 0.6))
    answer = story.answer(Results.model_construct(rows=rows, differences=[claim]))
    assert "worse than our best small model" in answer and "25% more" in answer


def with_training(best_epoch_of_control: int, kind: RowKind = RowKind.FINE_TUNED) -> Results:
    """Return results in which the control from random weights is best after this epoch.

    All runs have three epochs; that of `kind` is best after the second.
    """
    rows = [
        make_row(kind, 1.5, seeds=3),
        make_row(RowKind.RANDOM_WEIGHTS, 2.5, seeds=1),
    ]
    runs = [
        RunResult.model_construct(
            name=row.name,
            epochs=[make_epoch(number=epoch) for epoch in (1, 2, 3)],
            best_epoch=best,
        )
        for row, best in zip(rows, (2, best_epoch_of_control), strict=True)
    ]
    claim = difference(Question.PRETRAINING, -1.0, (-1.2, -0.8))
    claim = claim.model_copy(update={"a": kind.value, "b": RowKind.RANDOM_WEIGHTS.value})
    return Results.model_construct(rows=rows, runs=runs, differences=[claim], corpus=CORPUS)


@pytest.mark.parametrize(
    ("best_epoch", "words"),
    [
        (2, "Each has read the text twice; with more training, the one from random weights might"),
        (3, "The first has read the text 3 times, the second twice."),
    ],
)
def test_a_card_tells_what_the_scored_models_have_read(best_epoch: int, words: str) -> None:
    results = with_training(best_epoch)
    card = story.difference_card("", results.differences[0], results)
    assert words in card.meaning and "the other from the weights of gpt2." in card.meaning
    assert card.number == "2.500 → 1.500 bits per byte"
    assert card.interval == (
        "simultaneous 95% interval: 0.800 to 1.200 fewer; from random weights has a single run"
    )


def test_a_card_tells_adapters_from_all_weights() -> None:
    results = with_training(2, RowKind.LORA)
    meaning = story.difference_card("", results.differences[0], results).meaning
    assert "low-rank adapters trained on the weights of gpt2. Each has read" in meaning


def test_a_card_without_a_shown_difference_has_no_number() -> None:
    results = with_training(2)
    unclear = results.differences[0].model_copy(update={"ci95": (-1.2, 0.1)})
    card = story.difference_card("", unclear, results)
    assert card.number == "no difference shown" and card.interval is None


@pytest.mark.parametrize(
    ("teachers", "number", "told"),
    [
        (
            ["own"],
            3,
            "the training of the 3 models that record learned from, each trained like tuned: 30 "
            "more minutes and 6.0 × 10¹² operations in all.",
        ),
        (["a", "b"], 2, "the 2 models that record learned from"),
        ([], 0, None),
    ],
)
def test_costs_that_are_left_out_are_named(
    teachers: list[str], number: int, told: str | None
) -> None:
    rows = [
        make_row(RowKind.FINE_TUNED, 1.5),
        make_row(RowKind.RECORD, 1.9),
        make_row(RowKind.TUNED, 2.0, wall_seconds=600.0, training_flops=2e12),
    ]
    headline = difference(Question.FROM_SCRATCH, -0.4, (-0.5, -0.3))
    headline = headline.model_copy(update={"b": RowKind.RECORD.value})
    runs = [
        RunResult.model_construct(
            name=RowKind.RECORD.value, config={"teachers": teachers}, teachers=number, base=None
        ),
        RunResult.model_construct(
            name=RowKind.FINE_TUNED.value, config={}, teachers=0, base=BASE.identity
        ),
    ]
    costs = story.left_out_costs(
        Results.model_construct(rows=rows, differences=[headline], runs=runs)
    )
    assert costs[-1] == "Not included: the pretraining of some/base."
    assert (told is None and len(costs) == 1) or (told is not None and told in costs[0])


def test_teachers_are_counted_for_each_run() -> None:
    rows = [
        make_row(RowKind.FINE_TUNED, 1.5),
        make_row(RowKind.RECORD, 1.9),
        make_row(RowKind.TUNED, 2.0, wall_seconds=600.0, training_flops=2e12),
    ]
    headline = difference(Question.FROM_SCRATCH, -0.4, (-0.5, -0.3))
    headline = headline.model_copy(update={"b": RowKind.RECORD.value})
    of_record = {"config": {"teachers": ["own"]}, "teachers": 3, "base": None}
    runs = [
        RunResult.model_construct(name=RowKind.RECORD.value, **of_record),
        RunResult.model_construct(name=RowKind.RECORD.value, **of_record),
        RunResult.model_construct(name="fine-tuned", config={}, teachers=0, base=None),
    ]
    (costs,) = story.left_out_costs(
        Results.model_construct(rows=rows, differences=[headline], runs=runs)
    )
    assert costs == (
        "Not included: the training of the 3 models that each run of record learned from, each "
        "trained like tuned: 30 more minutes and 6.0 × 10¹² operations per run."
    )


@pytest.mark.parametrize(
    ("bits", "may_have_read", "title"),
    [
        ((1.0, 1.1), True, "better than tuned on 2 of 2 plays, all of which it may have read"),
        ((1.0, 2.1), False, "better than tuned on 1 of 2 plays"),
        ((2.0, 2.1), True, "better than tuned on none of 2 plays, although it may have read them"),
    ],
)
def test_the_title_of_other_plays_says_on_how_many(
    bits: tuple[float, float], may_have_read: bool, title: str
) -> None:
    plays = ("Hamlet", "Macbeth")
    scores = [
        PlayScores("fine-tuned", 1, may_have_read, dict(zip(plays, bits, strict=True))),
        PlayScores("tuned", 1, False, {"Hamlet": 1.5, "Macbeth": 1.6}),
    ]
    told = story._other_plays_title(
        results(difference(Question.FROM_SCRATCH, -0.5, None)).model_copy(
            update={"other_plays": summarize(scores)}
        )
    )
    assert told == f"Other plays: fine-tuned is {title}"


def test_rows_with_a_single_run_are_named_in_one_sentence() -> None:
    claim = difference(Question.FROM_SCRATCH, -0.5, (-0.6, -0.4))
    rows = [make_row(RowKind.FINE_TUNED, 1.5, seeds=1), make_row(RowKind.TUNED, 2.0, seeds=3)]
    alone = Results.model_construct(rows=rows, differences=[claim])
    assert story.seeds_not_covered(alone) == (
        "fine-tuned has a single run: the intervals do not cover how its score varies with the "
        "seed."
    )
    rows[1] = make_row(RowKind.TUNED, 2.0, seeds=1)
    both = Results.model_construct(rows=rows, differences=[claim])
    assert story.seeds_not_covered(both) == (
        "fine-tuned and tuned have a single run each: the intervals do not cover how their scores "
        "vary with the seed."
    )
