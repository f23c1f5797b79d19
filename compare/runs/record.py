"""The record of a run, `run.json`: its types, and the one place that reads and writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from compare.errors import Misuse
from compare.files import write_atomically
from compare.kinds import GPT2_NAMES, BaseKind, RowKind, RunStatus, Track, TrackingMode
from compare.ruler.metrics import Metrics
from compare.ruler.parameters import Parameters
from compare.strict_model import StrictModel

# Version 2 added `base.kind`; for version 1 it is inferred from the base's name and source.
SCHEMA = 2
READABLE_SCHEMAS = (1, SCHEMA)


class SplitSize(StrictModel):
    """The length of a split."""

    chars: int
    bytes: int


class CorpusRecord(StrictModel):
    """The text that a run was trained on."""

    name: str
    source: str
    sha256: str
    line_ends: dict[str, int] = Field(default_factory=lambda: {"CRLF": 0, "CR": 0})
    """How many line endings of the text were converted to LF, by kind."""
    splits: dict[str, SplitSize]


class BaseIdentity(StrictModel):
    """Which pretrained model fine-tuning started from."""

    requested: str
    """The value of --base."""
    resolved: str
    """The name that tables show."""
    kind: BaseKind
    revision: str | None = None
    """Commit on the Hub."""
    version_of: str | None = None
    """Name on the Hub of the model that it is a version of, if it does not come from there."""
    source: str
    weights_sha256: str


class Base(BaseIdentity):
    """The pretrained model that fine-tuning started from, and its local directory."""

    folder: str
    """`compare.report` loads the untouched base from here."""

    @property
    def identity(self) -> BaseIdentity:
        """The model without its directory, which is a path of this machine."""
        return BaseIdentity(**self.model_dump(exclude={"folder"}))


class TrackingRecord(StrictModel):
    """The run on W&B."""

    project: str
    mode: TrackingMode
    id: str | None = None
    where: str | None = None
    """The URL of the run, or the directory to upload."""


class Epoch(StrictModel):
    """One finished epoch."""

    epoch: int
    train_loss: float
    """In nats per token: in the scratch track, the mean over the epoch's targets; in the GPT-2
    track, the mean over its steps of each step's mean, as the Trainer logs it."""
    characters_seen: int
    seconds: float
    """Training time, without evaluation."""
    eval: Metrics
    """Metrics of the validation split."""


class RunRecord(StrictModel):
    """What was run, on which data, and with what result.

    If a run was resumed with another device, library version or commit, these fields have all of
    them: "2.12.0, then 2.13.0".
    """

    schema_version: int = Field(SCHEMA, alias="schema")
    track: Track
    status: RunStatus
    failure: str | None = None
    command: str
    config: dict[str, Any]
    """The options of the training command."""
    corpus: CorpusRecord
    preset: RowKind
    seed: int
    teachers_sha256: list[str] = Field(default_factory=list)
    base: Base | None = None
    parameters: Parameters
    device: str
    versions: dict[str, str]
    git_commit: str | None = None
    git_dirty: bool | None = None
    """Whether the run had code that is in none of its commits.  None if unknown, for instance
    outside a Git repository."""
    started: str
    """UTC, ISO 8601."""
    zero_shot: Metrics | None = None
    """Validation metrics before training: of the base, or of random weights."""
    epochs: list[Epoch] = Field(default_factory=list)
    best_epoch: int | None = None
    wall_seconds: float = 0.0
    characters_per_second: int | None = None
    peak_memory_mb: int = 0
    """Peak memory of the main process, in MiB, not counting GPU memory."""
    trainer_loaded: bool | None = None
    """Whether the training process had imported transformers.trainer."""
    model_sha256: dict[str, str] = Field(default_factory=dict)
    """Checksums of the saved model's files, by name."""
    tracking: TrackingRecord | None = None

    @model_validator(mode="after")
    def _require_what_readers_rely_on(self) -> RunRecord:
        """Check what readers rely on; raise ValueError for a record that no training run writes."""
        if "corpus" not in self.config:
            raise ValueError("config has no corpus")
        if (self.base is None) != (self.track is Track.SCRATCH):
            raise ValueError("runs of gpt2_finetune have a base, and other runs have none")
        if self.status is RunStatus.COMPLETE:
            if not 1 <= (self.best_epoch or 0) <= len(self.epochs):
                raise ValueError(
                    f"best_epoch of a complete run must be 1 to {len(self.epochs)}, "
                    f"not {self.best_epoch}"
                )
            if self.characters_per_second is None or self.tracking is None:
                raise ValueError("a complete run must have characters_per_second and tracking")
        return self

    @property
    def best_scores(self) -> Metrics:
        """Validation metrics of the saved model."""
        assert self.best_epoch is not None, "no epoch is finished"
        return self.epochs[self.best_epoch - 1].eval

    @property
    def train_share(self) -> float:
        """The share of the training split that the run was trained on."""
        return float(self.config.get("train_share", 1.0))

    @property
    def is_partial(self) -> bool:
        """Whether the run was trained on only a part of the training split."""
        return self.train_share < 1 or bool(self.config.get("leave_out"))

    @property
    def display_name(self) -> str:
        """The name of the model in tables."""
        if self.base is None:
            return f"Scratch ({self.preset})"
        return f"{self.base.resolved} {self.preset}"

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON-serializable dict, without fields that are None."""
        return self.model_dump(by_alias=True, exclude_none=True)


def write_record(folder: Path, record: RunRecord) -> None:
    """Replace `run.json` in the run directory `folder`."""
    text = json.dumps(record.to_json(), indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / "run.json", text.encode())


def read_record(folder: Path) -> RunRecord:
    """Return the record in the run directory `folder`.

    Raises Misuse if the record is missing, damaged, or of an unsupported schema.
    """
    path = folder / "run.json"
    try:
        record = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise Misuse(f"{folder} is not a run directory: it has no run.json") from None
    except ValueError as error:
        raise Misuse(f"{path} is damaged ({error}): move the directory away") from None
    if not isinstance(record, dict):
        raise Misuse(f"{path} is damaged (not a JSON object): move the directory away")
    if record.get("schema") not in READABLE_SCHEMAS:
        readable = " and ".join(map(str, READABLE_SCHEMAS))
        raise Misuse(
            f"{path} has schema {record.get('schema')}, but this version reads {readable}: use the "
            "version of this project that wrote it, or move the directory away"
        )
    try:
        return RunRecord.model_validate_json(json.dumps(_upgrade(record)))
    except ValidationError as error:
        raise Misuse(
            f"{path} is damaged ({describe_invalid(error)}): move the directory away"
        ) from None


def describe_invalid(error: ValidationError) -> str:
    """Return the first three problems in `error`, on one line."""
    problems = error.errors(include_url=False)[:3]
    return "; ".join(
        ": ".join(filter(None, (".".join(map(str, problem["loc"])), problem["msg"])))
        for problem in problems
    )


def _upgrade(record: dict[str, Any]) -> dict[str, Any]:
    """Convert a record of version 1 to version 2."""
    base = record.get("base")
    if record["schema"] == 1 and isinstance(base, dict):
        if base.get("source") == "shipped with gpt2_finetune":
            kind = BaseKind.STAND_IN
        elif base.get("revision") and base.get("resolved") in GPT2_NAMES:
            kind = BaseKind.GPT2
        else:
            kind = BaseKind.OTHER
        record = record | {"base": base | {"kind": kind}}
    return record | {"schema": SCHEMA}
