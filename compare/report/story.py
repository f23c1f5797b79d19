"""The answer in plain words, three figures that explain it, and titles that say what is seen."""

from __future__ import annotations

from dataclasses import dataclass

from compare.kinds import RowKind, Track
from compare.rendering import scientific
from compare.report.differences import Difference, Direction, Question
from compare.report.results import ResultRow, Results
from compare.report.worth_story import WorthStory, tell_worth
from compare.ruler.intervals import LAZARUS_FACTOR, MIN_BLOCKS
from compare.ruler.metrics import Interval
from compare.wording import listed, models_learned_from

UNIT = (
    "Bits per byte say how much each byte of the text (in English, a character) surprises a model: "
    "0 if the model was certain of it, 8 if it guessed blindly. Lower is better."
)

QUESTIONS_OF_CARDS = {Question.PRETRAINING, Question.FINE_TUNING}


@dataclass(frozen=True)
class Card:
    """One figure of the story."""

    title: str
    number: str
    """The figure, in bits per byte."""
    interval: str | None
    """Its 95% interval, in words.  None if there is none, or if `meaning` has it."""
    meaning: str


@dataclass(frozen=True)
class Titles:
    """Titles of sections, with what is seen in them where this can be computed."""

    other_plays: str
    word_classes: str
    memorization: str
    requirements: str


@dataclass(frozen=True)
class Story:
    """What the pages show besides the results themselves."""

    answer: str
    """The answer to the study's question, for readers who know no jargon."""
    confirmation: str | None
    """The answer on the sealed text.  None unless that was opened."""
    trained_after_opening: str | None
    """Which runs were started after the sealed text was opened.  None if none was."""
    unit: str
    """What bits per byte are."""
    cards: list[Card]
    caveats: list[str]
    """What a reader must know before believing the answer and the cards."""
    seeds_not_covered: str | None
    """Which rows of the report's claims have a single run.  None if none has."""
    resampling: str | None
    """Which blocks of the test text are resampled.  None without intervals."""
    left_out_costs: list[str]
    """What the two models of the answer cost before the training that the page counts."""
    worth: WorthStory | None
    """What pretraining is worth in text.  None without runs on shares of the text."""
    titles: Titles
    scores: list[str]
    """Each row's name and score, for readers who cannot see the figure."""


def tell(results: Results) -> Story:
    """Return the story of these results."""
    return Story(
        answer=answer(results),
        confirmation=confirmation(results),
        trained_after_opening=trained_after_opening(results),
        unit=UNIT,
        cards=cards(results),
        caveats=caveats(results),
        seeds_not_covered=seeds_not_covered(results),
        resampling=resampling(results),
        left_out_costs=left_out_costs(results),
        worth=tell_worth(results),
        titles=Titles(
            other_plays=_other_plays_title(results),
            word_classes=_word_classes_title(results),
            memorization=_memorization_title(results),
            requirements=_requirements_title(results),
        ),
        scores=[f"{row.name} {row.bits_per_byte:.3f}" for row in results.rows],
    )


def answer(results: Results) -> str:
    """Return the answer to the study's question in words for readers who know no jargon."""
    headline = results.headline
    a, b = results.row(headline.a), results.row(headline.b)
    if not headline.holds_in_all_parts:
        return _answer_by_part(headline)
    if headline.ci95 is None:
        return f"The test text is too short to tell whether {a.name} or {b.name} is better."
    if not headline.is_shown:
        return f"The test text does not show whether {a.name} or {b.name} is better."
    share = abs(a.bits_per_byte - b.bits_per_byte) / b.bits_per_byte
    better = "better" if headline.direction is Direction.LOWER else "worse"
    return (
        f"A pretrained model, fine-tuned on part of this text, predicts the rest {better} than our "
        "best small model, trained from scratch on the same part: it needs "
        f"{a.bits_per_byte:.3f} bits per byte instead of {b.bits_per_byte:.3f}, "
        f"{f'{share:.0%}' if share >= 0.01 else 'less than 1%'} {headline.direction.value}."
    )


def _answer_by_part(headline: Difference) -> str:
    """Return the answer if it does not hold in all parts of the test text.

    It is about the fine-tuned model, and what the intervals of the parts show.
    """
    outcomes = {
        Direction.LOWER: "it is better",
        Direction.HIGHER: "it is worse",
        Direction.NOT_SHOWN: "no difference is shown",
    }
    told = []
    for direction, outcome in outcomes.items():
        names = [name for name, part in headline.shown_parts.items() if part.direction is direction]
        if names:
            told.append(f"{outcome} in {' and in '.join(names)}")
    by_part, whole = ", and ".join(told), outcomes[headline.direction]
    if headline.parts_contradict:
        found = (
            f"That depends on the part of the test text: {by_part}; over the whole text, {whole}"
        )
    elif headline.is_shown:  # a part that shows no difference does not speak against it
        found = f"Over the whole test text, {whole}, but not every part shows it: {by_part}"
    else:
        found = f"Over the whole test text, {whole}, but parts of it show one: {by_part}"
    return (
        "Is a pretrained model that was fine-tuned on this text better than our best small model "
        f"trained from scratch? {found}."
    )


def confirmation(results: Results) -> str | None:
    """Return what the sealed text shows of the study's question; None unless it was opened."""
    if results.sealed is None or not results.sealed_differences:
        return None
    base = results.bases[0].identity.resolved
    may_have_read = base in results.bases_pretrained_elsewhere
    return (
        "On a text that this study set aside until the end, the rest of The Tempest, "
        f"{results.sealed_differences[0].claim()}."
        + (f" {base} may have read it in its pretraining." if may_have_read else "")
    )


def trained_after_opening(results: Results) -> str | None:
    """Say how many of the runs with a score on the sealed text were started after its opening.

    Returns None if none was.
    """
    later, runs = results.runs_after_opening, results.runs_scored_on_sealed
    if not later:
        return None
    verb = "was" if len(later) == 1 else "were"
    if len(later) == len(runs):
        every = f"All {len(runs)} training runs" if len(runs) > 1 else "The training run"
        return f"{every} behind the scores below {verb} started after that date."
    rows = listed(list(dict.fromkeys(run.name for run in later)))
    return (
        f"Of the {len(runs)} training runs behind the scores below, {len(later)} {verb} started "
        f"after that date ({rows})."
    )


def cards(results: Results) -> list[Card]:
    """Return what training from scratch reaches, what pretraining gives, and fine-tuning adds."""
    found = [_scratch_card(results)]
    for question, title, title_if_worse in (
        (Question.PRETRAINING, "What pretraining gives", "What pretraining costs"),
        (Question.FINE_TUNING, "What fine-tuning improves", "What fine-tuning costs"),
    ):
        # The first is about the first base, unless that has no row to compare with.
        difference = next((each for each in results.differences if each.question is question), None)
        if difference:
            is_worse = difference.direction is Direction.HIGHER
            found.append(
                difference_card(title_if_worse if is_worse else title, difference, results)
            )
    return found


def _scratch_card(results: Results) -> Card:
    row = results.row(results.chosen_run(Track.SCRATCH).name)
    interval = None
    if row.ci95:
        of_one_run = " for this one run" if row.seeds == 1 else ""
        interval = f"95% interval{of_one_run}: {_range(row.ci95)}"
    return Card(
        title="What training from scratch reaches",
        number=f"{row.bits_per_byte:.3f} bits per byte",
        interval=interval,
        meaning=(
            f"{row.name} has {row.parameters:,} parameters and has read the training text "
            f"({results.corpus.splits['train'].chars:,} characters) {_passes(row, results)}."
        ),
    )


def difference_card(title: str, difference: Difference, results: Results) -> Card:
    """Show the scores of two rows, the worse or earlier one first."""
    a, b = results.row(difference.a), results.row(difference.b)
    if not difference.is_shown or not difference.holds_in_all_parts:
        return Card(title, _vague_number(difference), None, f"{difference.sentence}.")
    assert difference.ci95 is not None, "without an interval, there is no direction"
    single_runs = [row.name for row in (b, a) if row.seeds == 1]
    have = "have a single run each" if len(single_runs) > 1 else "has a single run"
    single_run = f"; {listed(single_runs)} {have}" if single_runs else ""
    return Card(
        title=title,
        number=f"{b.bits_per_byte:.3f} → {a.bits_per_byte:.3f} bits per byte",
        interval=(
            f"simultaneous 95% interval: {_range(difference.ci95)} "
            f"{difference.direction.value}{single_run}"
        ),
        meaning=_meaning(difference.question, a, b, results),
    )


def _vague_number(difference: Difference) -> str:
    """Return what a card says in place of a number that does not hold everywhere in the text."""
    if difference.ci95 is None:
        return "the text is too short to tell"
    if difference.parts_contradict:
        return "depends on the text"
    if difference.is_shown:
        return "not shown in every part of the text"
    if difference.holds_in_all_parts:
        return "no difference shown"
    return "shown in parts of the text only"


def _range(interval: Interval) -> str:
    near, far = sorted(map(abs, interval))
    return f"{near:.3f} to {far:.3f}"


def _meaning(question: Question, a: ResultRow, b: ResultRow, results: Results) -> str:
    """Say which two rows a card compares: that of `b` with that of `a`."""
    passes = _passes(a, results)
    if question is Question.FINE_TUNING:
        return f"{a.base} before fine-tuning, and after reading the training text {passes}."
    if a.kind is RowKind.LORA:
        compared = (
            "Two models of the same architecture: one with all weights trained on this text from "
            f"random ones, the other with low-rank adapters trained on the weights of {a.base}"
        )
    else:
        compared = (
            "Two models of the same architecture, trained on this text: one from random weights, "
            f"the other from the weights of {a.base}"
        )
    of_b = _passes(b, results)
    if passes != of_b:
        return f"{compared}. The first has read the text {of_b}, the second {passes}."
    return (
        f"{compared}. Each has read the text {passes}; with more training, the one from random "
        "weights might do better."
    )


def _passes(row: ResultRow, results: Results) -> str:
    """Say how often a row's models had read the training text, on average over its runs.

    The model of a run is that of its best epoch, after which training may have gone on.
    """
    read = [run.epochs[run.best_epoch - 1].characters_seen for run in results.runs_of(row)]
    passes = sum(read) / len(read) / results.corpus.splits["train"].chars
    rounded = f"{passes:.1f}".removesuffix(".0")
    return {"1": "once", "2": "twice"}.get(rounded, f"{rounded} times")


def caveats(results: Results) -> list[str]:
    """Return what a reader must know before believing the answer and the cards."""
    found = []
    gains = [each for each in results.differences if each.question in QUESTIONS_OF_CARDS]
    if {each.question for each in gains if each.is_shown} == QUESTIONS_OF_CARDS:
        found.append(
            "The two differences are between different pairs of models, so they do not add up."
        )
    pair = (results.headline.a, results.headline.b)
    single = [name for name in pair if name in results.single_run_rows]
    if results.units.enough and len(single) == 1:
        found.append(
            f"{single[0]} has a single run: no interval covers how its score varies with the seed."
        )
    elif results.units.enough and single:
        found.append(
            f"{listed(single)} have a single run each: no interval covers how their scores vary "
            "with the seed."
        )
    if results.is_tiny_shakespeare and results.rows_with_drills:
        found.append(
            "Scores on this test text influenced the design of the small models, so these models "
            "may do worse on new text."
        )
    return found


def seeds_not_covered(results: Results) -> str | None:
    """Name the rows with a single run, if there are any: no interval covers their seeds."""
    names = results.single_run_rows
    if not names:
        return None
    if len(names) == 1:
        return (
            f"{names[0]} has a single run: the intervals do not cover how its score varies with "
            "the seed."
        )
    return (
        f"{listed(names)} have a single run each: the intervals do not cover how their scores vary "
        "with the seed."
    )


def resampling(results: Results) -> str | None:
    """Say which blocks of the test text are resampled, and how long they are.

    Returns None if the text is too short for intervals.
    """
    units = results.units
    if not units.enough:
        return None
    if len(units.block_lengths) > 1:
        within, of_part = "within each part of the text", " in the part"
        lengths = listed(
            [
                f"{length} in {part.name}"
                for length, part in zip(units.block_lengths, results.parts, strict=True)
            ]
        )
    else:
        within, of_part, lengths = "drawn from the whole text", "", str(units.block_lengths[0])
    return (
        f"Neighboring {units.kind} are resampled together, in blocks {within}. For the scores in "
        f"this table and their differences, the number of {units.kind} in a block is {lengths}; "
        f"the text has {units.number:,}. These lengths follow from how strongly neighbors depend "
        f"on each other. They are at least {LAZARUS_FACTOR} times the square root of the number of "
        f"{units.kind}{of_part}, unless that would leave fewer than {MIN_BLOCKS} blocks."
    )


def left_out_costs(results: Results) -> list[str]:
    """Return what the two models of the answer cost before the training that the page counts."""
    found = []
    tuned = [row for row in results.rows if row.kind is RowKind.TUNED]
    for row in (results.row(results.headline.b), results.row(results.headline.a)):
        run, *other_runs = results.runs_of(row)
        teachers = models_learned_from(run.teachers)
        student = f"each run of {row.name}" if other_runs else row.name
        if run.config.get("teachers") == ["own"] and tuned:
            minutes = run.teachers * (tuned[0].wall_seconds or 0) / 60
            operations = run.teachers * (tuned[0].training_flops or 0)
            found.append(
                f"Not included: the training of {teachers} that {student} learned "
                f"from, each trained like {tuned[0].name}: {minutes:,.0f} more minutes and "
                f"{scientific(operations)} operations {'per run' if other_runs else 'in all'}."
            )
        elif run.teachers:
            found.append(f"Not included: the training of {teachers} that {student} learned from.")
        if run.base:
            found.append(f"Not included: the pretraining of {run.base.resolved}.")
    return found


def _other_plays_title(results: Results) -> str:
    headline, other = results.headline, results.other_plays
    rows = {row.name: row for row in other.rows} if other else {}
    if headline.a not in rows or headline.b not in rows:
        return "Other plays"
    a, b = rows[headline.a], rows[headline.b]
    ahead = sum(a.by_play[title] < b.by_play[title] for title in a.by_play)
    known = ""
    if a.may_have_read:
        known = ", all of which it may have read" if ahead else ", although it may have read them"
    return (
        f"Other plays: {a.name} is better than {b.name} on {ahead or 'none'} of {len(a.by_play)} "
        f"plays{known}"
    )


def _word_classes_title(results: Results) -> str:
    headline = results.headline
    if not headline.is_shown:
        return "Scores by kind of word"
    shares = {
        word_class: part / headline.delta_bits_per_byte
        for word_class, part in headline.by_word_class.items()
    }
    # If a kind of word favors the other model, the shares are no parts of a whole.
    if min(shares.values()) < 0:
        return "Scores by kind of word"
    largest = max(shares, key=lambda word_class: shares[word_class])
    return f"Kinds of words: {shares[largest]:.0%} of the difference comes from {largest}"


def _memorization_title(results: Results) -> str:
    _, *of_models = results.memorization  # the first is of real text
    most = max(of_models, key=lambda each: each.copied_10)
    if not most.copied_10:
        return "Memorization: no sample copies ten words in a row"
    return f"Memorization: {most.name} copies {most.copied_10:.1%} of its ten-word sequences"


def _requirements_title(results: Results) -> str:
    met = sum(point.met for point in results.requirements)
    return f"Course requirements: {met} of {len(results.requirements)} are met"
