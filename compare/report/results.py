"""The results of the comparison: their types, and the one place that reads and writes their JSON.

`reports/report.json` holds a `Results`, and every number that the pages show is in it.  The other
modules of this package compute its parts; `compare.report.assemble` puts them together.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, computed_field

from compare.errors import Misuse
from compare.files import write_atomically
from compare.kinds import BaseKind, RowKind, Track
from compare.ruler.metrics import Metrics
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
SCHEMA = 2  # 1 had no version, and other names for some of its parts
BASELINE: Literal["floor"] = "floor"
"""The `track` of compressors and of the n-gram model."""

Interval = tuple[float, float]
"""The lower and upper end of a 95% confidence interval, in bits per byte."""


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


class BlockCount(_StrictModel):
    """The blocks of the test split that intervals resample."""

    kind: str
    number: int
    needed: int
    """With fewer blocks there are no intervals."""

    @property
    def enough(self) -> bool:
        """Whether there are enough blocks for intervals."""
        return self.number >= self.needed


class ResultRow(_StrictModel):
    """One row of the comparison.  If it has several runs, its values are means over them."""

    name: str
    track: Track | Literal["floor"]
    kind: RowKind
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
    nanogpt_val_nats_per_char: float
    """On nanoGPT's `val`, the last 10%: our validation and test splits together."""

    trained_characters: int | None = None
    """Characters read during the study's own training, as are the following costs."""
    training_flops: float | None = None
    wall_seconds: float | None = None
    characters_per_second: float | None = None
    peak_memory_mb: int | None = None

    ci95: Interval | None = None
    """None if the row has no probabilities of bytes, or the text is too short."""

    @property
    def is_baseline(self) -> bool:
        """Whether neither track made this row."""
        return self.track == BASELINE


class Difference(_StrictModel, extra="ignore"):  # `sentence` is derived from the other fields
    """A difference between two rows, and what its interval supports."""

    a: str
    b: str
    delta_bits_per_byte: float
    """Bits per byte of `a` minus those of `b`."""
    ci95: Interval | None
    """Of the paired difference.  None if the text is too short for an interval."""
    by_word_class: dict[WordClass, float]
    """The contribution of each class of words; they add up to `delta_bits_per_byte`."""

    @computed_field  # type: ignore[prop-decorator]  # mypy does not support this usage
    @property
    def sentence(self) -> str:
        """The claim that the interval supports, and no more."""
        if self.ci95 is None:
            return (
                f"{self.a} and {self.b}: no difference claimed, because the text is too short for "
                "an interval"
            )
        low, high = self.ci95
        if low <= 0 <= high:
            return f"{self.a} and {self.b}: no difference shown [{low:+.3f}, {high:+.3f}]"
        less = "less" if self.delta_bits_per_byte < 0 else "more"
        near, far = sorted(map(abs, self.ci95))
        return (
            f"{self.a} needs {abs(self.delta_bits_per_byte):.3f} bits per byte {less} than "
            f"{self.b} [{near:.3f}, {far:.3f}]"
        )


class WordClassResult(_StrictModel):
    """Bits per word and per byte of one class of words, for each model."""

    word_class: WordClass
    words: int
    bytes: int
    bits_per_word: dict[str, float]
    """By row name, as is the next."""
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
    stride: dict[str, float]
    """Bits per byte at strides C, C/2 and C/8, for the model's context length C."""
    context: list[ContextPoint]
    """From the model's context length down."""


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
    """On the beginning of the test split, for a quick check of a copy of the model."""

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
    """By row name: each token's text, and its surprisal in bits."""


class Sample(_StrictModel):
    """How each model continues one prompt."""

    prompt: str
    texts: dict[str, str]
    """By row name."""
    copied: dict[str, list[tuple[int, int]]]
    """By row name: (start, end) offsets of passages that occur in the training split."""


class Requirement(_StrictModel):
    """A requirement of the course, with evidence."""

    id: str
    text: str
    met: bool
    evidence: str


class Results(_StrictModel):
    """All results of the comparison."""

    schema_version: int = SCHEMA
    written: str
    """Date, ISO 8601."""
    corpus: CorpusRecord
    blocks: BlockCount
    rows: list[ResultRow]
    """In order of their bits per byte."""
    differences: list[Difference]
    """The first one answers the question of the study."""
    notes: list[str]
    """Caveats, shown above the table."""
    word_classes: list[WordClassResult]
    common_word_count: int
    """Minimum number of occurrences of a common word in the training split."""
    closer_looks: list[CloserLook]
    memorization: list[Memorization]
    """Of real text from the test split first, then of the samples of each model."""
    runs: list[RunResult]
    curves: dict[str, Curve]
    """By row name, of each row's best run."""
    surprisal: SurprisalResult
    samples: list[Sample]
    sample_settings: Settings
    requirements: list[Requirement]
    chosen: dict[Track, str]
    """Directory of the run of each track that is handed in and published."""
    hub_links: dict[Track, str | None]
    """Where these runs are published."""

    @property
    def lead(self) -> Difference:
        """The answer to the question of the study."""
        return self.differences[0]

    @property
    def trained_rows(self) -> list[ResultRow]:
        """The rows of models that the study has trained."""
        return [row for row in self.rows if row.seeds]

    @property
    def model_names(self) -> list[str]:
        """The rows that have probabilities of words: all models, and the n-gram."""
        return list(self.word_classes[0].bits_per_word)

    @property
    def base_is_stand_in(self) -> bool:
        """Whether fine-tuning started from the stand-in instead of GPT-2."""
        base = self.chosen_run(Track.GPT2).base
        return base is not None and base.kind is BaseKind.STAND_IN

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
    """Replace `report.json`."""
    text = json.dumps(results.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode())


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
