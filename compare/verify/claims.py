"""What a card or a record claims about scores: only read here, not believed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from itertools import zip_longest
from pathlib import Path
from typing import Any

from compare.corpus import Corpus
from compare.ruler.metrics import Metrics
from compare.runs.record import RunRecord
from compare.verify.tables import read_number, table_cells


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


class Clarity(Enum):
    """How much a claim says about the way in which it was measured."""

    EXACT = auto()
    """The text, its split and the metric, as `compare.publish` writes them into the metadata: the
    ruler here gives the same value."""
    ROUGH = auto()
    """The metric, and plainly the test split, in a card that does not name other texts only; not
    the windows, and not where the split begins."""
    OPEN = auto()
    """The metric, but not plainly what was scored."""
    VAGUE = auto()
    """Not even what the metric is relative to."""


# Names of metrics in cards, without a split in front; the vague ones do not say how they were
# measured.
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
}
VAGUE = ("perplexity", "ppl", "loss")
SPLITS: dict[str, Split | str] = {
    "test": Split.TEST,
    "validation": Split.VALIDATION,
    "val": Split.VALIDATION,
    "eval": Split.VALIDATION,
    "train": "train",
    "training": "train",
}
# What a label or the header of its column may say in addition, and still be about this model's
# score.  Anything else may mean another model, another text or another way to measure.
QUALIFIER = re.compile(
    "test|validation|val|eval|evaluation|train|training|split|set|interval|ci|bpb|bits|per|byte|mean"
    "|lower|better|best|final|scores?|results?|values?|epoch|epochs|after|fine|tuning|tuned|held|out"
    "|this|my|our|model|run|the|is|of|on|in|at|for|an|too|short"
)

# "| **bits per byte** (95% interval) | **1.9723** |", "- eval_loss: 3.21": a label, then its value.
LABEL = re.compile(
    r"[\s|>*_-]*(?:(?:eval|test|validation|val)[ _-]+)?"
    r"(?P<metric>bits[ _/-]+(?:per[ _-]+)?byte|bpb|(?:(?:token|word)[ _-])?perplexity|ppl|loss)\b"
    r"(?P<rest>[^|:=]*)[|:=]",
    re.IGNORECASE,
)
# The name of a metric in the metadata: normalized, with a split in front or without.
NAME = re.compile(r"(?:(?P<split>eval|test|validation|val)_)?(?P<metric>.*)", re.DOTALL)
VALUE = re.compile(r"[\s*_`~≈]*(?P<value>\d+\.\d+(?:e[+-]?\d+)?)", re.IGNORECASE)
# Headers of columns that hold no scores, but how uncertain they are.
UNCERTAINTY = re.compile("ci|confidence|interval|error|std|standard|deviation")
# What may follow a value and is no other score, such as its interval.
SPREAD = re.compile(r"\([^)]*\)|\[[^\]]*\]|± *[\d.]+")
RULE = re.compile(r":?-+:?")  # a cell of the line below a table's header
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Claim:
    """A claimed score."""

    source: str
    metric: str
    """As it is called there, without a split in front."""
    value: float
    decimals: int
    """Digits after the decimal point, to which the value may have been rounded; in 1.2e6, -5."""
    split: Split | str | None
    """One that is scored here, another that is named, or None if none is named."""
    clarity: Clarity
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
            name = NAME.fullmatch(_normalize(metric.get("type")))
            value, decimals = read_number(metric.get("value"))
            if name is None or name["metric"] not in UNITS or value is None:
                continue
            named = str(dataset.get("split") or name["split"] or "").lower()
            clarity = _clarity(name["metric"], named == Split.TEST)
            if clarity is not Clarity.VAGUE and named == Split.TEST and _checksum(dataset):
                clarity = Clarity.EXACT
            found.append(
                Claim(
                    "card's metadata",
                    name["metric"],
                    value,
                    decimals,
                    SPLITS.get(named, named or None),
                    clarity,
                    _other_text(dataset, corpus),
                )
            )
    found += _claims_of_text(body, corpus)
    if _names_only_other_texts(metadata, corpus):
        # What is plainly of a test split may then be of the test split of another text.
        found = [
            replace(claim, clarity=Clarity.OPEN) if claim.clarity is Clarity.ROUGH else claim
            for claim in found
        ]
    return _without_repetitions(found)


def _claims_of_text(body: str, corpus: Corpus) -> Iterator[Claim]:
    """Yield the scores in a card's text: those of a table's row with the headers of their columns.

    A row may have several, such as those of each split, or of other models.
    """
    header: list[str] = []
    previous: list[str] = []
    for line in body.splitlines():
        cells = table_cells(line)
        if not cells:
            header = []
        elif all(RULE.fullmatch(cell) for cell in cells):
            header = previous
        previous = cells
        if not (label := LABEL.match(line)):
            continue
        places = [("", line[label.end() :])]
        if label[0].endswith("|"):
            places = list(zip_longest(header, cells, fillvalue=""))[len(table_cells(label[0])) :]
        scores = [
            (title, cell)
            for title, cell in places
            if VALUE.match(cell) and not _is_uncertainty(title)
        ]
        for title, cell in scores:
            claim = _claim_of_text(label, title, cell, len(scores) == 1, corpus)
            if claim is not None:
                yield claim


def _claim_of_text(
    label: re.Match[str], title: str, cell: str, is_alone: bool, corpus: Corpus
) -> Claim | None:
    """Return the score that `cell` begins with, to the right of `label` and below `title`.

    `is_alone` says whether it is the only one in its row.  Return None for 0, which is no score.
    """
    metric = _normalize(label["metric"])
    metric = "bits_per_byte" if metric.startswith("bits") else metric
    match = VALUE.match(cell)
    value, decimals = read_number(match["value"] if match else None)
    if match is None or value is None:
        return None
    of_label, of_title = _splits_in(label[0]), _splits_in(title)
    # "After training, on the test split": a score is of the training split only if no other split
    # is named.
    splits = sorted(of_title or of_label, key=lambda each: each == "train")
    # Of several scores in a row, the header has to name the one of the test split; of several in a
    # cell or on a line, such as "1.8 / 2.0", none is plainly it.
    others = VALUE.search(SPREAD.sub("", cell[match.end() :]))
    names_test = {*of_label, *of_title} == {Split.TEST} and (is_alone or bool(of_title))
    known = _words(corpus.name)
    further = [
        text.strip(" *_`")
        for text in (label["rest"], title)
        if not all(word in known or QUALIFIER.fullmatch(word) for word in _words(text))
    ]
    return Claim(
        "card's text",
        metric,
        value,
        decimals,
        splits[0] if splits else None,
        _clarity(metric, names_test and others is None),
        further_words=", ".join(further) or None,
    )


def _clarity(metric: str, names_test: bool) -> Clarity:
    """Return the clarity of a claim that does not say exactly which text was scored."""
    if metric in VAGUE:
        return Clarity.VAGUE
    # Words can be counted in several ways: with or without punctuation marks, for instance.
    if names_test and UNITS[metric] is not Unit.WORD_PERPLEXITY:
        return Clarity.ROUGH
    return Clarity.OPEN


def _is_uncertainty(title: str) -> bool:
    """Return whether the header `title` is that of intervals, for instance, and not of scores."""
    words = _words(title)
    return bool(words) and all(UNCERTAINTY.fullmatch(word) for word in words)


def _splits_in(text: str) -> list[Split | str]:
    """Return the splits that are named in `text`; "interval" ends in "val", but is none."""
    return [SPLITS[word] for word in _words(text) if word in SPLITS]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


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


def claim_of_record(record: RunRecord, corpus: Corpus) -> Claim:
    """Return the validation score in a run's record."""
    return Claim(
        source="run.json",
        metric="bits_per_byte",
        value=record.best_scores.bits_per_byte,
        decimals=16,
        split=Split.VALIDATION,
        clarity=Clarity.EXACT,
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


def _names_only_other_texts(metadata: dict[str, Any], corpus: Corpus) -> bool:
    """Return whether a card's metadata name data sets, of which none is `corpus`."""
    listed = metadata.get("datasets")
    names = listed if isinstance(listed, list) else [listed]
    datasets = [{"name": name} for name in names]
    datasets += [_dict(result.get("dataset")) for result in _results(metadata)]
    others = [
        _other_text(dataset, corpus)
        for dataset in datasets
        if dataset.get("name") or dataset.get("type")
    ]
    return bool(others) and None not in others


def _other_text(dataset: dict[str, Any], corpus: Corpus) -> str | None:
    """Return the name of the data set that was scored, if it is not `corpus`."""
    name = str(dataset.get("name") or dataset.get("type") or "")
    sha256 = _checksum(dataset) or str(dataset.get("revision"))
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


def _checksum(dataset: dict[str, Any]) -> str | None:
    """Return the text's checksum, which `compare.publish` writes as an argument of the data set."""
    sha256 = str(_dict(dataset.get("args")).get("sha256"))
    return sha256 if SHA256.fullmatch(sha256) else None


def _letters(name: str) -> str:
    """Return the letters and digits of `name`, which may be written in several ways."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _normalize(name: object) -> str:
    return re.sub(r"[ /-]+", "_", str(name).strip().lower())


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
