"""The results of the comparison: their types, and the one place that reads and writes their JSON.

`reports/report.json` holds a `Results`, and every number that the pages show is in it.  The other
modules of this package compute its parts; `compare.report.assemble` puts them together.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, computed_field

from compare.corpus.sources import TINY_SHAKESPEARE_SHA256
from compare.errors import Misuse
from compare.files import write_atomically
from compare.kinds import BaseKind, RowKind, Track
from compare.ruler.metrics import Interval, Metrics
from compare.ruler.sampling import Settings
from compare.runs.record import (
    BaseIdentity,
    CorpusRecord,
    Epoch,
    Parameters,
    TrackingRecord,
    describe_invalid,
)

PATH = Path("reports/report.json")
# When the sealed text was opened: kept even if report.json is deleted.
OPENING = PATH.with_name("sealed.json")
SCHEMA = 6  # 3 had a single pretrained base, 5 other names of questions and baselines
BASELINE: Literal["baseline"] = "baseline"
"""The `track` of rows that neither track made: uniform bytes, compressors, the n-gram model."""


class _StrictModel(BaseModel):
    """Values are not converted to other types, and unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class WordClass(StrEnum):
    """Classes of words that are easy or hard to predict for different reasons."""

    SPEAKER_NAME = "speaker names"
    LINE_START = "line starts"
    COMMON = "common words"
    RARE = "rare words"
    UNSEEN = "unseen words"


class Question(StrEnum):
    """What the study asks; each question is answered by one difference."""

    FROM_SCRATCH = "Fine-tuned or from scratch?"
    PRETRAINING = "What does pretraining add?"
    FINE_TUNING = "What does fine-tuning add to the base?"
    N_GRAM = "Does the best model from scratch beat the n-gram model?"


class TextUnitsResult(_StrictModel):
    """The units of the test split that intervals resample in blocks."""

    kind: str
    number: int
    needed: int
    """With fewer units there are no intervals."""
    block_lengths: list[int]
    """Units per block in each part of the text, or in the whole text if its parts are short."""

    @property
    def enough(self) -> bool:
        """Whether there are enough units for intervals."""
        return self.number >= self.needed


class TextPart(_StrictModel):
    """A part of the test split, such as a play."""

    name: str
    chars: int
    bytes: int


class PartScore(_StrictModel):
    """The score of a row on one text or a part of one."""

    bits_per_byte: float
    ci95: Interval | None = None


class ResultRow(_StrictModel):
    """One row of the comparison.  If it has several runs, its values are means over them."""

    name: str
    track: Track | Literal["baseline"]
    kind: RowKind
    base: str | None = None
    """Name of the pretrained model, in the GPT-2 track."""
    run: str | None = None
    """Directory of the run that is best on validation."""
    seeds: int | None = None
    """Number of runs, which differ in their seed alone.  None if nothing was trained."""
    parameters: int | None = None
    split: Literal["test"] = "test"

    nats: float
    bytes: int
    chars: int
    tokens: int
    words: int
    loss: float
    """Nats per token."""
    bits_per_byte: float
    nats_per_char: float
    token_perplexity: float | None
    """Not comparable across tokenizers.  None for rows without tokens."""
    word_perplexity: float
    bits_per_byte_sd: float | None = None
    """Standard deviation over the runs.  None for fewer than two."""
    nanogpt_val_nats_per_char: float | None
    """The score on nanoGPT's `val`, the last 10% of the text: our validation and test splits
    together.  None for large models without published results on it."""

    trained_characters: int | None = None
    """Characters read during the study's own training, as are the following costs."""
    training_flops: float | None = None
    wall_seconds: float | None = None
    characters_per_second: float | None = None
    peak_memory_mb: int | None = None

    ci95: Interval | None = None
    """None if the row has no probabilities of bytes, or the text is too short."""
    by_play: dict[str, PartScore] = {}
    """The score on each part of the test split.  Empty if the row has no probabilities of bytes."""
    sealed: PartScore | None = None
    """The score on the sealed text.  None unless it was opened."""


class PartDifference(_StrictModel):
    """A difference on a part of the test split."""

    delta_bits_per_byte: float
    ci95: Interval | None

    @property
    def direction(self) -> int:
        """The sign of the difference, or 0 if the interval contains 0 or is missing."""
        if self.ci95 is None or not (self.ci95[0] > 0 or self.ci95[1] < 0):
            return 0
        return 1 if self.delta_bits_per_byte > 0 else -1

    def describe(self) -> str:
        """Return what the interval supports, without the names of the rows."""
        if self.ci95 is None:
            return "no difference is claimed, because the text is too short for an interval"
        low, high = self.ci95
        if not self.direction:
            return f"no difference is shown [{_signed(low)}, {_signed(high)}]"
        near, far = sorted(map(abs, self.ci95))
        more = "more" if self.direction > 0 else "fewer"
        return f"{abs(self.delta_bits_per_byte):.3f} {more} bits per byte [{near:.3f}, {far:.3f}]"


def _signed(bits_per_byte: float) -> str:
    return f"{bits_per_byte:+.3f}".replace("-", "−")


class PairDifference(PartDifference):
    """The difference between two rows on the whole test split: that of `a` minus that of `b`."""

    a: str
    b: str

    def claim(self) -> str:
        """Return a sentence with what the interval supports."""
        if self.direction:
            return f"{self.a} needs {self.describe()} than {self.b}"
        return f"{self.a} and {self.b}: {self.describe()}"


class Difference(PairDifference, extra="ignore"):  # `sentence` is derived from the other fields
    """The answer to one of the study's questions."""

    question: Question
    by_play: dict[str, PartDifference]
    """The difference on each part of the text.  All intervals of all questions hold
    simultaneously."""
    by_word_class: dict[WordClass, float]
    """The contribution of each class of words; they add up to `delta_bits_per_byte`."""

    @property
    def parts_agree(self) -> bool:
        """Whether the difference has the same direction in all parts as on the whole text."""
        return all(part.direction == self.direction for part in self._shown_parts.values())

    @property
    def _shown_parts(self) -> dict[str, PartDifference]:
        """The parts that are long enough for an interval."""
        return {name: part for name, part in self.by_play.items() if part.ci95 is not None}

    @computed_field  # type: ignore[prop-decorator]  # mypy does not support this usage
    @property
    def sentence(self) -> str:
        """The claim that the intervals support, and no more.

        If a difference does not have the same direction in all parts of the text, it is stated for
        each part.
        """
        if self.parts_agree:
            return self.claim()
        shown_first = sorted(self._shown_parts.items(), key=lambda item: not item[1].direction)
        by_part = "; ".join(f"in {name}, {part.describe()}" for name, part in shown_first)
        return f"{self.a} against {self.b}: {by_part}; over the whole text, {self.describe()}"


def format_share(share: float) -> str:
    """Return a share of a text as a simple fraction, such as 1/8, or else in percent."""
    fraction = Fraction(share)
    return str(fraction) if fraction.denominator <= 16 else f"{100 * share:g}%"


def _share_in_words(share: float) -> str:
    """Return how much of the text a share is, such as "1/8 of the text"."""
    if share in (0, 1):
        return "all of the text" if share else "none of the text"
    return f"{format_share(share)} of the text"


def _short(times: float) -> str:
    """Format a number of two significant digits."""
    return f"{times:,.0f}" if times >= 10 else f"{times:.2g}"


class WorthPoint(_StrictModel):
    """The score of a recipe on the test split, after training on a share of the training split."""

    share: float
    """1 is the whole training split; 0 is the base before it was fine-tuned."""
    characters: int
    """Length of the text that was trained on."""
    epochs: int
    """How often that text was read at most; the epoch best on validation is scored."""
    seeds: int
    """Number of runs; 0 for the base before fine-tuning."""
    bits_per_byte: float
    ci95: Interval | None
    """The interval of this score alone."""


class WorthCurve(_StrictModel):
    """The scores of one recipe after training on more and more of the training split."""

    name: str
    """The name of the row that was trained on the whole training split."""
    kind: RowKind
    base: str | None
    """Name of the pretrained model, in the GPT-2 track."""
    points: list[WorthPoint]
    """The smallest share first."""


class TextEquivalent(_StrictModel):
    """How many times the text the scratch track would need to score like a fine-tuned model.

    Between neighboring points, the scratch track's curve is taken as straight over the logarithm of
    the characters.  The bounds are rounded outwards to two digits.
    """

    fine_tuned: str
    """The row of the fine-tuned model."""
    share: float
    """The share of the training split that it was fine-tuned on, from 0 to 1."""
    characters: int
    """Number of characters in that share."""
    scratch: str
    """The row whose curve it is compared with; the curve ends at the whole training split."""
    smallest_share: float
    """The share of the training split where that curve begins, from 0 to 1."""
    low: float | None
    """Lower bound, as a multiple of `characters`.  None if even the smallest share of the text may
    be enough."""
    high: float | None
    """Upper bound, as a multiple of `characters`.  None if even the whole training split may not
    be enough."""
    is_off_the_curve: bool
    """Whether the scratch track is shown to be worse, or to be better, at every length of text."""

    @property
    def sentence(self) -> str:
        """The claim that the interval supports, and no more."""
        subject = (
            f"{self.fine_tuned} on {_share_in_words(self.share)} ({self.characters:,} characters)"
        )
        if self.is_off_the_curve and self.low is not None:
            bound = "more" if self.low == 1 else f"more than {_short(self.low)} times as much"
            return (
                f"{subject} needs fewer bits per byte than {self.scratch} on all of it: "
                f"{bound} text would be needed"
            )
        if self.is_off_the_curve and self.high is not None:
            bound = "less" if self.high == 1 else f"less than {_short(self.high)} times as much"
            return (
                f"{subject} needs more bits per byte than {self.scratch} on "
                f"{_share_in_words(self.smallest_share)}: {bound} text would be enough"
            )
        amount = "an amount of text that these runs do not bound"
        if self.low is not None and self.high is not None:
            amount = f"{_short(self.low)} to {_short(self.high)} times as much text"
        elif self.low is not None:
            amount = f"at least {_short(self.low)} times as much text, with no upper bound shown"
        elif self.high is not None:
            amount = f"at most {_short(self.high)} times as much text, with no lower bound shown"
        return f"{subject} equals {self.scratch} on {amount}"


class Worth(_StrictModel):
    """What pretraining is worth, in text: how scores depend on the amount of training text."""

    curves: list[WorthCurve]
    equivalents: list[TextEquivalent]
    """One for each share that was fine-tuned on; all hold simultaneously with probability 95%."""

    @property
    def zero_shot(self) -> dict[str, float]:
        """The bits per byte of the bases before fine-tuning, by base."""
        return {
            curve.base: point.bits_per_byte
            for curve in self.curves
            for point in curve.points
            if curve.base and not point.share
        }


class WordClassResult(_StrictModel):
    """Bits per word and per byte of one class of words, for each model."""

    word_class: WordClass
    words: int
    bytes: int
    bits_per_word: dict[str, float]
    """Keyed by row name, like `bits_per_byte`."""
    bits_per_byte: dict[str, float]


class ContextPoint(_StrictModel):
    """The score of a model whose context is limited."""

    tokens: int
    characters: float
    """How many characters the tokens cover on average."""
    bits_per_byte: float


class CloserLook(_StrictModel):
    """How the score of a row's best run depends on the evaluation."""

    name: str
    characters: int
    """How much of the test split was scored, from its beginning."""
    stride: dict[str, float]
    """Bits per byte at strides C, C/2 and C/8, for the model's context length C."""
    context: list[ContextPoint]
    """One point for each context length, from the model's own downwards."""


class Memorization(_StrictModel):
    """How much of a text occurs verbatim in the training split, and how diverse the text is.

    An n-gram is a sequence of n words.
    """

    name: str
    words: int
    copied_5: float
    """Share of 5-grams that occur in the training split."""
    copied_10: float
    """Share of 10-grams that occur in the training split."""
    distinct_1: float
    """Distinct words / words (Li et al. 2016, "A Diversity-Promoting Objective Function")."""
    distinct_2: float
    """Distinct 2-grams / 2-grams."""
    repeated_4: float
    """1 - distinct 4-grams / 4-grams within each text (Welleck et al. 2020, "Neural Text
    Generation with Unlikelihood Training", seq-rep-4)."""
    longest: str
    """The longest passage that occurs in the training split."""
    longest_characters: int


@dataclass(frozen=True)
class TestScores(Metrics):
    """The metrics of a run on the test split."""

    __test__ = False  # not a class of tests, although pytest might think so

    ci95: Interval | None


class RunResult(_StrictModel):
    """The record of a run without machine-specific fields, and its test scores."""

    name: str
    """The row that it belongs to."""
    run: str
    """Its directory."""
    track: Track
    preset: RowKind
    seed: int
    command: str
    config: dict[str, Any]
    parameters: Parameters
    device: str
    versions: dict[str, str]
    git_commit: str | None = None
    git_dirty: bool | None = None
    started: str
    epochs: list[Epoch]
    best_epoch: int
    wall_seconds: float
    characters_per_second: int
    peak_memory_mb: int
    tracking: TrackingRecord
    teachers: int
    """Number of models that it was distilled from."""
    base: BaseIdentity | None = None
    zero_shot: Metrics | None = None
    """The base on the validation split, before training."""
    test: TestScores
    test_slice: Metrics
    """Metrics on the beginning of the test split, to check an uploaded copy quickly."""

    @property
    def best_validation(self) -> Metrics:
        """Validation metrics of the saved model."""
        return self.epochs[self.best_epoch - 1].eval


class CurvePoint(_StrictModel):
    """A loss during training."""

    characters_seen: int
    bits_per_byte: float


class Curve(_StrictModel):
    """The losses of one run."""

    train: list[CurvePoint]
    """Converted with the tokens per byte of the validation split."""
    validation: list[CurvePoint]


class SurprisalResult(_StrictModel):
    """One passage of the test split, with the surprisal of each model on it."""

    characters: int
    models: dict[str, list[tuple[str, float]]]
    """Each token's text and its surprisal in bits, keyed by row name."""


class Sample(_StrictModel):
    """How each model continues one prompt."""

    prompt: str
    texts: dict[str, str]
    """Keyed by row name."""
    copied: dict[str, list[tuple[int, int]]]
    """(start, end) offsets of passages that occur in the training split, keyed by row name."""


class Requirement(_StrictModel):
    """A requirement of the course, with evidence."""

    id: str
    text: str
    met: bool
    evidence: str


class BaseResult(_StrictModel):
    """A pretrained model that the GPT-2 track started from."""

    identity: BaseIdentity
    parameters: int
    description: str
    """What it is and what it was pretrained on, without its name and the final period."""


class ContaminationText(StrEnum):
    """The texts that models are asked to continue."""

    TEST = "test split"
    VALIDATION = "validation split"
    SHUFFLED = "shuffled test split"
    """The lines of the test split in an order that nobody can have read."""


class VerbatimRate(_StrictModel):
    """How often the greedy continuation of a prompt repeats the text word for word."""

    prompts: int
    repeated: int
    """After how many prompts all tokens of the continuation are those of the text."""
    share: float
    """repeated / prompts."""
    ci95: tuple[float, float]
    """The share's interval (Clopper and Pearson), with the prompts taken as independent."""
    mean_tokens: float
    """How many tokens are repeated before the first one that differs."""

    @property
    def count(self) -> str:
        """The rate in words, such as "3 of 250"."""
        return f"{self.repeated} of {self.prompts}"


class VerbatimRates(_StrictModel):
    """How often one model repeats each of the texts."""

    name: str
    """The name of its row."""
    base_kind: BaseKind | None
    """The kind of an untouched base.  None for a model that this study trained from scratch."""
    prompt_tokens: int
    continuation_characters: float
    """How many characters of the test split the tokens of a continuation cover on average."""
    rates: dict[ContaminationText, VerbatimRate]


class Contamination(_StrictModel):
    """Whether the bases show that they have read the test text before."""

    continuation_tokens: int
    models: list[VerbatimRates]
    """The bases, then the models from scratch."""
    paragraph: str
    """A summary in plain words: what was found about the first base, and what the comparison can
    and cannot say."""
    other_bases: list[str]
    """What was found about each of the others."""


class OtherPlaysRow(_StrictModel):
    """The scores of a row on the plays that are in no split."""

    name: str
    runs: int | None
    """How many runs were scored.  None if nothing was trained."""
    may_have_read: bool
    """Whether its pretraining data may contain the plays."""
    bits_per_byte: float
    """Mean over plays."""
    ci95: Interval
    """Over plays, which are taken as a sample of plays like them; runs are taken as they are."""
    by_play: dict[str, float]
    """Bits per byte by title."""


class OtherPlays(_StrictModel):
    """A test of generalization: plays that are in no split."""

    characters: int
    """How many of each play were scored."""
    rows: list[OtherPlaysRow]
    """Sorted by bits per byte."""
    differences: list[PairDifference]
    """Each row minus the best of those that cannot have read the plays; each interval holds by
    itself."""


class SealedResult(_StrictModel):
    """The sealed text has been opened: scores after this are not on unseen text any more."""

    chars: int
    bytes: int
    opened: str
    """Date, ISO 8601."""
    git_commit: str | None
    """The commit of the code that opened it."""
    git_dirty: bool | None


class Results(_StrictModel):
    """All results of the comparison."""

    schema_version: int = SCHEMA
    written: str
    """Date, ISO 8601."""
    corpus: CorpusRecord
    bases: list[BaseResult]
    """The first is the one that the study's answer is about."""
    units: TextUnitsResult
    parts: list[TextPart]
    """The parts of the test split."""
    rows: list[ResultRow]
    """Sorted by bits per byte."""
    sealed: SealedResult | None = None
    """None unless the sealed text was opened."""
    differences: list[Difference]
    """The first one answers the question of the study."""
    pairs: list[PairDifference]
    """All pairs of rows, with intervals that hold one by one."""
    contamination: Contamination | None = None
    """None if the texts, or the contexts of the bases, are too short to measure it."""
    other_plays: OtherPlays | None = None
    """None unless the corpus is Tiny Shakespeare and the plays are installed."""
    worth: Worth | None = None
    """None unless both tracks have runs on a share of the training split."""
    notes: list[str]
    """Reasons to doubt the results, shown before them."""
    training_notes: list[str]
    """What some rows learned from apart from the training split's text."""
    word_classes: list[WordClassResult]
    common_word_count: int
    """Minimum number of occurrences of a common word in the training split."""
    closer_looks: list[CloserLook]
    memorization: list[Memorization]
    """The first is of real text from the test split, the others of each model's samples."""
    runs: list[RunResult]
    curves: dict[str, Curve]
    """The curve of each row's best run, keyed by row name."""
    surprisal: SurprisalResult
    samples: list[Sample]
    sample_settings: Settings
    requirements: list[Requirement]
    chosen: dict[Track, str]
    """Directory of the run of each track that is handed in and published."""
    hub_links: dict[Track, str | None]
    """Where these runs are published."""

    @property
    def headline(self) -> Difference:
        """The answer to the question of the study."""
        return self.differences[0]

    @property
    def is_tiny_shakespeare(self) -> bool:
        """Whether the corpus is Tiny Shakespeare."""
        return self.corpus.sha256 == TINY_SHAKESPEARE_SHA256

    @property
    def trained_rows(self) -> list[ResultRow]:
        """The rows of models that the study has trained."""
        return [row for row in self.rows if row.seeds]

    @property
    def rows_with_drills(self) -> list[str]:
        """The rows that were trained on copying exercises, too."""
        return list(dict.fromkeys(run.name for run in self.runs if run.config.get("drills")))

    @property
    def model_names(self) -> list[str]:
        """The rows that have probabilities of words: all models, and the n-gram."""
        return list(self.word_classes[0].bits_per_word)

    @property
    def base_is_stand_in(self) -> bool:
        """Whether the study's answer is about the stand-in instead of a real pretrained model."""
        return self.bases[0].identity.kind is BaseKind.STAND_IN

    @property
    def has_stand_in(self) -> bool:
        """Whether any row started from the stand-in."""
        return any(base.identity.kind is BaseKind.STAND_IN for base in self.bases)

    @property
    def interval_count(self) -> int:
        """How many intervals of `differences` hold together."""
        return sum(
            sum(part.ci95 is not None for part in (each, *each.by_play.values()))
            for each in self.differences
        )

    def row(self, name: str) -> ResultRow:
        """Return the row called `name`."""
        return next(row for row in self.rows if row.name == name)

    def runs_of(self, row: ResultRow) -> list[RunResult]:
        """Return the runs of a row, the best on validation first."""
        return [run for run in self.runs if run.name == row.name]

    def run_result(self, track: Track, run: str) -> RunResult:
        """Return the result of the run of `track` in directory `run`."""
        return next(each for each in self.runs if (each.track, each.run) == (track, run))

    def chosen_run(self, track: Track) -> RunResult:
        """Return the run of `track` that is handed in and published."""
        return self.run_result(track, self.chosen[track])


def write(results: Results, path: Path = PATH) -> None:
    """Replace the report at `path`; note next to it, once, that the sealed text was opened."""
    note_opening(results, path.with_name(OPENING.name))
    text = json.dumps(results.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode())


def note_opening(results: Results, path: Path = OPENING) -> None:
    """Note in `path` that `results` have scores of the sealed text, unless it is noted already."""
    if results.sealed and not path.exists():
        write_atomically(path, results.sealed.model_dump_json(indent=1).encode() + b"\n")


def read_opening() -> SealedResult | None:
    """Return when the sealed text was opened; None if it was not.  Raises Misuse if damaged."""
    try:
        return SealedResult.model_validate_json(OPENING.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise Misuse(f"{OPENING} is damaged ({describe_invalid(error)}): restore it") from None


def read(path: Path = PATH) -> Results:
    """Read `report.json`.  Raises Misuse if it is missing, damaged or of another version."""
    command = "python -m compare.report"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise Misuse(f"no {path}: make it with {command}") from None
    try:
        parsed = json.loads(data)
        if not isinstance(parsed, dict) or parsed.get("schema_version") != SCHEMA:
            raise Misuse(f"{path} was written by another version: write it again with {command}")
        return Results.model_validate_json(data)
    except ValidationError as error:
        raise Misuse(
            f"{path} is damaged ({describe_invalid(error)}): write it again with {command}"
        ) from None
    except ValueError as error:
        raise Misuse(f"{path} is damaged ({error}): write it again with {command}") from None
