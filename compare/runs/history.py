"""The lines of a run's `history.jsonl` and `samples.jsonl`: types, reading and writing.

In the files, the fields have the names that they have in W&B, such as `train/loss`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Discriminator, Tag, TypeAdapter, ValidationError

from compare.errors import Misuse
from compare.files import write_atomically
from compare.ruler.metrics import Metrics
from compare.ruler.sampling import Sample
from compare.runs.record import describe_invalid
from compare.strict_model import FrozenModel

HISTORY, SAMPLES = "history.jsonl", "samples.jsonl"
NAMES_OF_STEPS = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "gradient_norm": "train/gradient_norm",
    "characters_per_second": "throughput/characters_per_second",
    "seconds": "throughput/seconds",
}
NAMES_OF_EVALUATIONS = {
    "loss": "eval/loss",
    "bits_per_byte": "eval/bits_per_byte",
    "token_perplexity": "eval/token_perplexity",
}


class StepsLine(
    FrozenModel, populate_by_name=True, alias_generator=lambda name: NAMES_OF_STEPS.get(name, name)
):
    """The training steps since the previous line, the same in both tracks."""

    step: int
    """The last of these steps, counted from 1."""
    epoch: float
    """Passes over the text so far, such as 1.5."""
    characters_seen: int
    """Characters of the text read so far, in all epochs."""
    loss: float
    """Mean over these steps, in nats per token."""
    learning_rate: float
    gradient_norm: float
    """The norm in the last step, before clipping."""
    characters_per_second: int
    seconds: float | None = None
    """How long these steps took.  None in the oldest runs, which did not record it."""


class EvaluationLine(
    FrozenModel,
    populate_by_name=True,
    alias_generator=lambda name: NAMES_OF_EVALUATIONS.get(name, name),
):
    """Scores of the validation split, before training or after an epoch."""

    epoch: int
    """Finished epochs; 0 before training."""
    characters_seen: int
    loss: float
    """Nats per token."""
    bits_per_byte: float
    token_perplexity: float

    @classmethod
    def of(cls, epoch: int, characters_seen: int, scores: Metrics) -> EvaluationLine:
        """Return the line for `scores` after an epoch."""
        return cls(
            epoch=epoch,
            characters_seen=characters_seen,
            loss=scores.loss,
            bits_per_byte=scores.bits_per_byte,
            token_perplexity=scores.token_perplexity,
        )


def _tag(line: Any) -> str:
    """Return which kind of line a value from a file is.

    A value that is not a dict is refused whichever kind it is taken for.
    """
    is_evaluation = isinstance(line, dict) and NAMES_OF_EVALUATIONS["loss"] in line
    return "evaluation" if is_evaluation else "steps"


HistoryLine = StepsLine | EvaluationLine
HISTORY_LINES = TypeAdapter(
    Annotated[
        Annotated[StepsLine, Tag("steps")] | Annotated[EvaluationLine, Tag("evaluation")],
        Discriminator(_tag),
    ]
)
SAMPLE_LINES = TypeAdapter(Sample)
Line = TypeVar("Line", HistoryLine, Sample)


def to_json(line: HistoryLine | Sample) -> dict[str, Any]:
    """Return a line as a JSON-serializable dict."""
    return (
        asdict(line)
        if isinstance(line, Sample)
        else line.model_dump(by_alias=True, exclude_none=True)
    )


def append(path: Path, line: HistoryLine | Sample) -> None:
    """Add a line to the file `path`."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(to_json(line)) + "\n")


def replace(path: Path, lines: Sequence[HistoryLine] | Sequence[Sample]) -> None:
    """Replace the file `path` by one with these `lines`."""
    text = "".join(json.dumps(to_json(line)) + "\n" for line in lines)
    write_atomically(path, text.encode())


def read_history(folder: Path) -> list[HistoryLine]:
    """Return the lines of the history in a run directory.  Raises Misuse if one is damaged."""
    return _read(folder / HISTORY, HISTORY_LINES)


def read_samples(folder: Path) -> list[Sample]:
    """Return the samples in a run directory.  Raises Misuse if one is damaged."""
    return _read(folder / SAMPLES, SAMPLE_LINES)


def _read(path: Path, kind: TypeAdapter[Line]) -> list[Line]:
    """Return the lines of a file, or an empty list if it does not exist.

    A last line without a newline is ignored: the process was killed while writing it.
    """
    if not path.exists():
        return []
    *texts, _ = path.read_bytes().split(b"\n")
    lines = []
    for number, text in enumerate(texts, start=1):
        try:
            lines.append(kind.validate_json(text, strict=True))
        except ValidationError as error:
            raise Misuse(
                f"{path} is damaged (line {number}: {describe_invalid(error)}): move the run "
                "directory away"
            ) from None
    return lines
