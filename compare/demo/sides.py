"""The models of the demo: which they are, and what is said about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from compare import corpus as corpora
from compare.corpus import Corpus
from compare.kinds import Track
from compare.runs import find, models
from compare.runs.subjects import Subject, find_subject


@dataclass(frozen=True)
class Side:
    """One of the models that the demo shows next to each other."""

    name: str
    description: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    corpus: Corpus | None
    """The text that it was trained on, in whose training split copied passages are looked up.  None
    if that is not known."""


def load_sides(what: Sequence[str], corpus: str | None = None) -> list[Side]:
    """Load the models that `what` names, or else the newest complete run of each track.

    A name is a directory of a run or a model, or a repository on the Hub.  Models without the
    record of a run are taken as trained on the text `corpus`, if it is given.

    Raises Misuse if there is nothing of a name or a run is not complete, and Failure if a model has
    changed since training, needs code that is not this project's, or cannot be loaded.
    """
    subjects = [find_subject(name) for name in what]
    if not subjects:
        runs = map(find.latest, Track)
        subjects = [Subject(str(run.path), run.model, run) for run in runs]
    names = [_name(subject) for subject in subjects]
    return [
        _load(subject, corpus, name if names.count(name) == 1 else f"{name} ({subject.what})")
        for subject, name in zip(subjects, names, strict=True)
    ]


def _name(subject: Subject) -> str:
    return subject.run.record.display_name if subject.run else subject.what


def _load(subject: Subject, corpus_name: str | None, name: str) -> Side:
    corpus = corpora.load(corpus_name) if corpus_name else None
    if subject.run:
        models.require_unchanged(subject.run)
        corpus = find.corpus_of(subject.run)
    model, tokenizer = models.load(subject.folder)
    description = f"{sum(weights.numel() for weights in model.parameters()):,} parameters"
    if subject.run and corpus:
        bits = subject.run.record.best_scores.bits_per_byte
        description += f", {bits:.3f} bits per byte on the validation split of {corpus.name}"
    return Side(name, description, model, tokenizer, corpus)
