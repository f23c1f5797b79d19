"""The model card of a hand-in: its metadata, its tags and its text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compare.publish.card import read_front_matter
from compare.runs.subjects import Subject
from compare.verify.points import Assignment, Point, failed, judged, not_checkable, passed

CARD = ("card", "Model card")
TAGS = ("tags", "Tags")
UPLOADED = ("published", "On the Hub")

FRONT_MATTER = re.compile(r"\A---\s*\n.*?^---\s*$", re.DOTALL | re.MULTILINE)
PLACEHOLDER = re.compile(r"more information needed", re.IGNORECASE)
MIN_LENGTH = 200  # characters: fewer can hardly say what the model is and how it was trained
FINE_TUNED_TAGS = ("fine-tuned", "finetuned", "fine_tuned", "generated_from_trainer")


@dataclass(frozen=True)
class Card:
    """A card; empty if there is none."""

    text: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> str:
        """The text without the metadata in front."""
        return FRONT_MATTER.sub("", self.text, count=1).strip()

    @property
    def tags(self) -> list[str]:
        """The tags in the metadata."""
        tags = self.metadata.get("tags")
        return [str(tag) for tag in tags] if isinstance(tags, list) else []

    @property
    def is_of_fine_tuned(self) -> bool:
        """Whether the card says that the model was fine-tuned."""
        said = any(tag.lower() in FINE_TUNED_TAGS for tag in self.tags)
        return said or bool(self.metadata.get("base_model"))


def read_card(path: Path) -> Card:
    """Return the card in file `path`, or an empty one if there is none."""
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError:
        return Card()
    metadata = read_front_matter(path)
    return Card(text, metadata if isinstance(metadata, dict) else {})


def check_card(subject: Subject, card: Card, assignment: Assignment) -> list[Point]:
    """Check the card, its tags, and whether the model is on the Hub."""
    if subject.repository:
        evidence = f"{subject.repository.address}, {subject.description}"
        uploaded = passed(*UPLOADED, evidence)
        if subject.repository.is_from_cache:  # by now, the repository may be gone
            uploaded = not_checkable(*UPLOADED, f"{evidence}: try again later")
    else:
        uploaded = not_checkable(*UPLOADED, "a copy on this machine: give OWNER/NAME instead")
    if not card.text:
        return [*_without_card(subject), uploaded]
    return [_check_text(card, assignment), _check_tags(card, assignment), uploaded]


def _without_card(subject: Subject) -> list[Point]:
    if subject.repository and not subject.repository.is_from_cache:
        reason = "the repository has no README.md: the Hub's button Create Model Card makes one"
        return [failed(*CARD, reason), failed(*TAGS, "there is no card to hold tags")]
    reason = "there is no README.md beside the weights: check the repository on the Hub"
    if subject.repository:
        reason = "there is no README.md in the cache: try again when the Hub can be reached"
    if subject.run:
        reason = "a run has no card: check the directory that python -m compare.publish stages"
    return [not_checkable(*CARD, reason), not_checkable(*TAGS, "there is no card here")]


def _check_text(card: Card, assignment: Assignment) -> Point:
    """Check that the card says something, and has metadata that the Hub can read."""
    missing = []
    if not card.metadata:
        missing.append("metadata that can be read (YAML between two lines of ---)")
    if len(card.body) < MIN_LENGTH:
        missing.append(f"a text of at least {MIN_LENGTH} characters (it has {len(card.body)})")
    if blanks := len(PLACEHOLDER.findall(card.body)):
        missing.append(f"an answer in place of 'More Information Needed' ({blanks} times)")
    if assignment is Assignment.FINE_TUNED and card.metadata and not _has_base(card):
        missing.append("base_model in the metadata")
    if missing:
        return failed(*CARD, f"it lacks {'; '.join(missing)}")
    shown = ("license", "language", "library_name", "pipeline_tag", "base_model", "datasets")
    given = [f"{key} {card.metadata[key]}" for key in shown if card.metadata.get(key)]
    return passed(*CARD, f"{len(card.body):,} characters; {', '.join(given) or 'metadata'}")


def _has_base(card: Card) -> bool:
    """Return whether the card names the model that was fine-tuned."""
    return bool(card.metadata.get("base_model")) or "base model" in card.body.lower()


def _check_tags(card: Card, assignment: Assignment) -> Point:
    wanted = "add tags to the metadata, such as text-generation and causal-lm"
    return judged(*TAGS, bool(card.tags), ", ".join(card.tags) or wanted)
