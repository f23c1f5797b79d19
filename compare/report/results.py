"""The results of the comparison, and the types of their parts.

`reports/report.json` holds a `Results`, and every number that the pages show is in it.  The other
modules of this package compute its parts; `compare.report.assemble` puts them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from compare.corpus.sources import TINY_SHAKESPEARE_SHA256
from compare.kinds import BaseKind, ContaminationText, RowKind, Track, WordClass
from compare.report.differences import Difference, PairDifference
from compare.report.worth_results import Worth
from compare.ruler.metrics import Interval, Metrics
from compare.ruler.parameters import Parameters
from compare.ruler.sampling import Settings
from compare.ruler.text_units import UnitKind
from compare.runs.record import BaseIdentity, CorpusRecord, Epoch, TrackingRecord
from compare.strict_model import FrozenModel

SCHEMA = 6  # 3 had a single pretrained base, 5 other names of questions and baselines
BASELINE: Literal["baseline"] = "baseline"
"""The `track` of rows that neither track made: uniform bytes, compressors, the n-gram model."""


class TextUnitsResult(FrozenModel):
    """The units of the test split that intervals resample in blocks."""

    kind: UnitKind
    number: int
    needed: int
    """With fewer units there are no intervals."""
    block_lengths: list[int]
    """Units per block in each part of the text, or in the whole text if its parts are short."""

    @property
    def enough(self) -> bool:
        """Whether there are enough units for intervals."""
        return self.number >= self.needed


class TextPart(FrozenModel):
    """A part of the test split, such as a play."""

    name: str
    chars: int
    bytes: int


class PartScore(FrozenModel):
    """The score of a row on one text or a part of one."""

    bits_per_byte: float
    ci95: Interval | None = None


class ResultRow(FrozenModel):
    """One row of the comparison.

    The scores of several runs are computed from the mean of their nats.  Costs are means over the
    runs, except for peak memory, which is the maximum.
    """

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
    trained_parameters: int | None = None
    """Those of the adapters, for LoRA.  None if all are trained, or none."""
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
    word_perplexity: float | None
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
    by_play: dict[str, PartScore] = Field(default_factory=dict)
    """The score on each part of the test split.  Empty if the row has no probabilities of bytes."""
    sealed: PartScore | None = None
    """The score on the sealed text.  None unless it was opened."""

    @property
    def parameter_count(self) -> str:
        """Its parameters, and how many of them were trained unless all were.  Empty if unknown."""
        if self.parameters is None:
            return ""
        if self.trained_parameters is None:
            return f"{self.parameters:,}"
        return f"{self.parameters:,} ({self.trained_parameters:,} trained)"


class WordClassResult(FrozenModel):
    """Bits per word and per byte of one class of words, for each model."""

    word_class: WordClass
    words: int
    bytes: int
    bits_per_word: dict[str, float]
    """Keyed by row name, like `bits_per_byte`."""
    bits_per_byte: dict[str, float]


class ContextPoint(FrozenModel):
    """The score of a model whose context is limited."""

    tokens: int
    characters: float
    """How many characters the tokens cover on average."""
    bits_per_byte: float


class CloserLook(FrozenModel):
    """How the score of a row's best run depends on the evaluation."""

    name: str
    characters: int
    """How much of the test split was scored, from its beginning."""
    stride: dict[str, float]
    """Bits per byte at strides C, C/2 and C/8, for the model's context length C."""
    context: list[ContextPoint]
    """One point for each context length, from the model's own downwards."""


class Memorization(FrozenModel):
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

    ci95: Interval | None = None


class RunResult(FrozenModel):
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
    """The model on the validation split before training: the base, or random weights."""
    test: TestScores
    test_slice: Metrics
    """Metrics on the beginning of the test split, to check an uploaded copy quickly."""

    @property
    def best_validation(self) -> Metrics:
        """Validation metrics of the saved model."""
        return self.epochs[self.best_epoch - 1].eval


class CurvePoint(FrozenModel):
    """A loss during training."""

    characters_seen: int
    bits_per_byte: float


class Curve(FrozenModel):
    """The losses of one run."""

    train: list[CurvePoint]
    """Converted with the tokens per byte of the validation split."""
    validation: list[CurvePoint]


class SurprisalResult(FrozenModel):
    """One passage of the test split, with the surprisal of each model on it."""

    characters: int
    models: dict[str, list[tuple[str, float]]]
    """Each token's text and its surprisal in bits, keyed by row name."""


class Sample(FrozenModel):
    """How each model continues one prompt."""

    prompt: str
    texts: dict[str, str]
    """Keyed by row name."""
    copied: dict[str, list[tuple[int, int]]]
    """(start, end) offsets of passages that occur in the training split, keyed by row name."""


class Requirement(FrozenModel):
    """A requirement of the course, with evidence."""

    id: str
    text: str
    met: bool
    evidence: str


class BaseResult(FrozenModel):
    """A pretrained model that the GPT-2 track started from."""

    identity: BaseIdentity
    parameters: int
    description: str
    """What it is and what it was pretrained on, without its name and the final period."""


class VerbatimRate(FrozenModel):
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


class VerbatimRates(FrozenModel):
    """How often one model repeats each of the texts."""

    name: str
    """The name of its row."""
    base_kind: BaseKind | None
    """The kind of an untouched base.  None for a model that this study trained from scratch."""
    prompt_tokens: int
    continuation_characters: float
    """How many characters of the test split the tokens of a continuation cover on average."""
    rates: dict[ContaminationText, VerbatimRate]


class Contamination(FrozenModel):
    """Whether the bases show that they have read the test text before."""

    continuation_tokens: int
    models: list[VerbatimRates]
    """The bases, then the models from scratch."""
    paragraph: str
    """A summary in plain words: what was found about the first base, and what the comparison can
    and cannot say."""
    other_bases: list[str]
    """What was found about each of the others."""


class OtherPlaysRow(FrozenModel):
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


class OtherPlays(FrozenModel):
    """A test of generalization: plays that are in no split."""

    characters: int
    """How many of each play were scored."""
    rows: list[OtherPlaysRow]
    """Sorted by bits per byte."""
    differences: list[PairDifference]
    """Each row minus the best of those that cannot have read the plays; each interval holds by
    itself."""


class SealedResult(FrozenModel):
    """The sealed text has been opened: scores after this are not on unseen text any more."""

    chars: int
    bytes: int
    opened: str
    """Date, ISO 8601."""
    git_commit: str | None
    """The commit of the code that opened it."""
    git_dirty: bool | None
    rows: list[str] = Field(default_factory=list)
    """The rows of the report that opened it.  Empty if they were not noted."""


class Results(FrozenModel):
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
    sealed_differences: list[PairDifference] = Field(default_factory=list)
    """The same differences on the sealed text, in the same order.  Their intervals hold
    simultaneously.  Empty unless the sealed text was opened."""
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
    def bases_pretrained_elsewhere(self) -> list[str]:
        """Names of the bases that this project did not pretrain: they may have read any text."""
        return [
            base.identity.resolved
            for base in self.bases
            if base.identity.kind is not BaseKind.STAND_IN
        ]

    @property
    def has_stand_in(self) -> bool:
        """Whether any row started from the stand-in."""
        return any(base.identity.kind is BaseKind.STAND_IN for base in self.bases)

    @property
    def single_run_rows(self) -> list[str]:
        """The rows in `differences` with a single run.

        No interval covers how their scores vary with the seed.
        """
        names = dict.fromkeys(name for each in self.differences for name in (each.a, each.b))
        return [name for name in names if self.row(name).seeds == 1]

    @property
    def pairs_have_single_runs(self) -> bool:
        """Whether a row in `pairs` has a single run."""
        names = {name for each in self.pairs for name in (each.a, each.b)}
        return any(row.seeds == 1 for row in self.rows if row.name in names)

    @property
    def rows_after_opening(self) -> list[str]:
        """The rows with a score on the sealed text that the report that opened it did not have.

        Empty if the rows of that report are unknown.
        """
        if self.sealed is None or not self.sealed.rows:
            return []
        scored = [row.name for row in self.rows if row.sealed]
        return [name for name in scored if name not in self.sealed.rows]

    @property
    def runs_scored_on_sealed(self) -> list[RunResult]:
        """The runs of the rows that have a score on the sealed text."""
        scored = {row.name for row in self.rows if row.sealed}
        return [run for run in self.runs if run.name in scored]

    @property
    def runs_after_opening(self) -> list[RunResult]:
        """Those of `runs_scored_on_sealed` that were started on a later day than the opening."""
        if self.sealed is None:
            return []
        # Only the day of the opening is known.  Both dates are ISO 8601, which sort as text.
        day = self.sealed.opened
        return [run for run in self.runs_scored_on_sealed if run.started[: len(day)] > day]

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
