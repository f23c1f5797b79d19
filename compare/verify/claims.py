"""What a card or a record claims about scores and epochs: only read here, not believed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Any

from compare.corpus import Corpus
from compare.ruler.metrics import Metrics
from compare.runs.record import RunRecord


class Unit(StrEnum):
    """The units of claimed scores."""

    BITS_PER_BYTE = "bits_per_byte"
    NATS_PER_CHAR = "nats_per_char"
    WORD_PERPLEXITY = "word_perplexity"
    TOKEN_PERPLEXITY = "token_perplexity"
    LOSS = "loss"


class Split(StrEnum):
    """The splits that are scored here."""

    TEST = "test"
    VALIDATION = "validation"


# Names of metrics in cards; the vague ones do not say how they were measured.
UNITS = {
    "bits_per_byte": Unit.BITS_PER_BYTE,
    "bpb": Unit.BITS_PER_BYTE,
    "nats_per_char": Unit.NATS_PER_CHAR,
    "nats_per_character": Unit.NATS_PER_CHAR,
    "word_perplexity": Unit.WORD_PERPLEXITY,
    "token_perplexity": Unit.TOKEN_PERPLEXITY,
    "perplexity": Unit.TOKEN_PERPLEXITY,
    "ppl": Unit.TOKEN_PERPLEXITY,
    "loss": Unit.LOSS,
    "eval_loss": Unit.LOSS,
    "validation_loss": Unit.LOSS,
    "test_loss": Unit.LOSS,
}
VAGUE = ("perplexity", "ppl", "loss", "eval_loss", "validation_loss", "test_loss")
SPLITS: dict[str, Split | str] = {
    "test": Split.TEST,
    "validation": Split.VALIDATION,
    "val": Split.VALIDATION,
    "eval": Split.VALIDATION,
    "train": "train",
    "training": "train",
}
# What a label may say in addition, and still be about this model's score.  Anything else may mean
# another model, another text or another way to measure.
QUALIFIER = re.compile(
    "test|validation|val|eval|evaluation|train|training|split|set|interval|ci|bpb|bits|per|byte|mean"
    "|lower|better|best|final|score|epoch|epochs|after|fine|tuning|tuned|held|out"
    "|this|my|our|model|run|the|is|of|on|in|at|for|an|too|short"
)

# "| **bits per byte** (95% interval) | **1.9723** |", "- Loss: 3.21": a label, then its value.
LABEL = re.compile(
    r"^[\s|>*_-]*(?P<label>bits[ _/-]+(?:per[ _-]+)?byte|bpb|(?:token |word )?perplexity|ppl"
    r"|(?:eval |test |validation )?loss)\b(?P<rest>[^|:=\n]*)[|:=][\s|*_`~≈]*"
    r"(?P<value>\d+\.\d+(?:e[+-]?\d+)?)",
    re.IGNORECASE | re.MULTILINE,
)
EPOCH = re.compile(r"\d+(\.\d+)?(?= |$)")  # 3, 2.99 or "3 (this model)"
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Claim:
    """A claimed score."""

    source: str
    metric: str
    """As it is called there."""
    value: float
    decimals: int
    """Digits after the decimal point, to which the value may have been rounded; in 1.2e6, -5."""
    split: Split | str | None
    """One that is scored here, another that is named, or None if none is named."""
    is_exact: bool
    """Whether the metric says how it is measured."""
    other_text: str | None = None
    """Name of the text, if it is not the one that is scored here."""
    further_words: str | None = None
    """What its label says that is not understood here, such as the name of another model."""

    @property
    def unit(self) -> Unit:
        """The unit of the value."""
        return UNITS[self.metric]

    def bits_per_byte(self, like: Metrics) -> float:
        """Convert the value, rounded as generously as its digits allow, to bits per byte.

        `like` holds the model's own numbers of bytes, characters, words and tokens.
        """
        value = self.value + 0.5 * 10.0**-self.decimals
        if self.unit is Unit.BITS_PER_BYTE:
            return value
        nats = {
            Unit.NATS_PER_CHAR: lambda: value * like.chars,
            Unit.WORD_PERPLEXITY: lambda: math.log(value) * like.words,
            Unit.TOKEN_PERPLEXITY: lambda: math.log(value) * like.tokens,
            Unit.LOSS: lambda: value * like.tokens,
        }[self.unit]()
        return nats / math.log(2) / like.bytes


def claims_of_card(metadata: dict[str, Any], body: str, corpus: Corpus) -> list[Claim]:
    """Return the scores in a card's model index, and those in its text as `label: value`."""
    found = []
    for result in _results(metadata):
        dataset = _dict(result.get("dataset"))
        for metric in result["metrics"]:
            name = _normalize(metric.get("type"))
            value, decimals = _number(metric.get("value"))
            if name not in UNITS or value is None:
                continue
            named = str(dataset.get("split", "")).lower()
            found.append(
                Claim(
                    "card's metadata",
                    name,
                    value,
                    decimals,
                    SPLITS.get(named, named or None),
                    name not in VAGUE,
                    _other_text(dataset, corpus),
                )
            )
    for match in LABEL.finditer(body):
        name = _normalize(match["label"])
        name = "bits_per_byte" if name.startswith("bits") else name
        words = re.findall(r"[a-z]+", match[0].lower())  # "interval" ends in "val"
        # "After training, on the test split": a score is of the training split only if no other
        # split is named.
        named_splits = [SPLITS[word] for word in words if word in SPLITS]
        named_splits.sort(key=lambda each: each == "train")
        split = named_splits[0] if named_splits else None
        value, decimals = _number(match["value"])
        of_corpus = re.findall(r"[a-z]+", corpus.name.lower())
        is_understood = all(
            word in of_corpus or QUALIFIER.fullmatch(word)
            for word in re.findall(r"[a-z]+", match["rest"].lower())
        )
        if name in UNITS and value is not None:
            claim = Claim("card's text", name, value, decimals, split, name not in VAGUE)
            further = None if is_understood else match["rest"].strip(" *_`")
            found.append(replace(claim, further_words=further))
    return _without_repetitions(found)


def _without_repetitions(found: list[Claim]) -> list[Claim]:
    """Leave out what the text repeats of the metadata, which come first, with or without the split.

    The same value on another split is another claim.
    """
    kept: list[Claim] = []
    for claim in found:
        same = [
            each
            for each in kept
            if (each.metric, each.value) == (claim.metric, claim.value)
            and each.further_words is None  # which may be about another model
        ]
        if not any(claim.split in (None, each.split) for each in same):
            kept.append(claim)
    return kept


def losses_of_card(body: str) -> tuple[float | None, list[float]]:
    """Return the validation losses in a card's first table of epochs: before training, and after.

    The first is that of epoch 0, or None if it is not there; the list is empty without a table.
    Only whole epochs count.  A Trainer's table may also have rows such as 0.5, and 2.99 for the end
    of epoch 3, if its last batch was incomplete.  Of several rows for the same epoch, such as 0.96
    and 1.0, the last counts.
    """
    columns: tuple[int, int] | None = None
    losses: dict[int, float] = {}
    for line in body.splitlines():
        if "|" not in line:
            if columns is not None:
                break  # the end of the table
            continue
        cells = [cell.strip().lower() for cell in line.strip().strip("|").split("|")]
        if columns is None:
            epoch = [i for i, cell in enumerate(cells) if cell == "epoch"]
            loss = [i for i, cell in enumerate(cells) if re.search(r"(val|eval)\w* loss", cell)]
            columns = (epoch[0], loss[0]) if epoch and loss else None
        elif len(cells) > max(columns) and (epoch_number := EPOCH.match(cells[columns[0]])):
            number, (value, _) = float(epoch_number[0]), _number(cells[columns[1]])
            if abs(number - round(number)) < 0.05 and value is not None:
                losses[round(number)] = value
    return losses.pop(0, None), list(losses.values())


def claim_of_record(record: RunRecord, corpus: Corpus) -> Claim:
    """Return the validation score in a run's record."""
    return Claim(
        source="run.json",
        metric="bits_per_byte",
        value=record.best_scores.bits_per_byte,
        decimals=16,
        split=Split.VALIDATION,
        is_exact=True,
        other_text=None if record.corpus.sha256 == corpus.sha256 else record.corpus.name,
    )


def _results(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the results with metrics in the model index, which may be damaged."""
    index = metadata.get("model-index")
    models = index if isinstance(index, list) else []
    results = [each for model in models for each in _list(_dict(model).get("results"))]
    return [
        _dict(result) | {"metrics": [_dict(each) for each in _list(_dict(result).get("metrics"))]}
        for result in results
    ]


def _other_text(dataset: dict[str, Any], corpus: Corpus) -> str | None:
    """Return the name of the data set that was scored, if it is not `corpus`."""
    name = str(dataset.get("name") or dataset.get("type") or "")
    # `compare.publish` writes the checksum as an argument of the data set.
    sha256 = str(_dict(dataset.get("args")).get("sha256") or dataset.get("revision") or "")
    if SHA256.fullmatch(sha256):
        return None if sha256 == corpus.sha256 else name
    names = _letters(f"{dataset.get('name', '')} {dataset.get('type', '')}")
    if corpus.is_tiny_shakespeare:
        known_as = "shakespeare"
    elif corpus.name == "wikitext-2":
        known_as = "wikitext"
    else:
        known_as = _letters(Path(corpus.name).stem)
    return name if names and known_as not in names else None


def _letters(name: str) -> str:
    """Return the letters and digits of `name`, which may be written in several ways."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _number(value: object) -> tuple[float | None, int]:
    """Return a finite positive number and its digits after the decimal point, or (None, 0).

    Of numbers such as 1.2e6, whose last digit stands for more than 1, the digits are negative.
    """
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None, 0
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or number <= 0:  # infinity and NaN have letters
        return None, 0
    return float(number), -exponent


def _normalize(name: object) -> str:
    return re.sub(r"[ /-]+", "_", str(name).strip().lower())


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
