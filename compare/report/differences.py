"""The study's questions, and the types of their answers: differences and what they support."""

from __future__ import annotations

from enum import Enum, StrEnum

from pydantic import computed_field

from compare.kinds import WordClass
from compare.ruler.metrics import Interval
from compare.strict_model import FrozenModel


class Question(StrEnum):
    """What the study asks; each question is answered by one difference."""

    FROM_SCRATCH = "Fine-tuned or from scratch?"
    PRETRAINING = "What does pretraining add?"
    FINE_TUNING = "What does fine-tuning add to the base?"
    N_GRAM = "Does the best model from scratch beat the n-gram model?"


class Direction(Enum):
    """What an interval shows of a difference in bits per byte."""

    LOWER = "fewer"
    HIGHER = "more"
    NOT_SHOWN = "no difference shown"


class PartDifference(FrozenModel):
    """A difference on a part of the test split."""

    delta_bits_per_byte: float
    ci95: Interval | None

    @property
    def direction(self) -> Direction:
        """The direction that the interval shows: none if it contains 0 or is missing."""
        if self.ci95 is not None and self.ci95[0] > 0:
            return Direction.HIGHER
        if self.ci95 is not None and self.ci95[1] < 0:
            return Direction.LOWER
        return Direction.NOT_SHOWN

    @property
    def is_shown(self) -> bool:
        """Whether the interval shows that there is a difference."""
        return self.direction is not Direction.NOT_SHOWN

    def describe(self) -> str:
        """Return what the interval supports, without the names of the rows."""
        if self.ci95 is None:
            return "no difference is claimed, because the text is too short for an interval"
        low, high = self.ci95
        if not self.is_shown:
            return f"no difference is shown [{_signed(low)}, {_signed(high)}]"
        near, far = sorted(map(abs, self.ci95))
        size = abs(self.delta_bits_per_byte)
        return f"{size:.3f} {self.direction.value} bits per byte [{near:.3f}, {far:.3f}]"


def _signed(bits_per_byte: float) -> str:
    return f"{bits_per_byte:+.3f}".replace("-", "−")


class PairDifference(PartDifference):
    """The difference between two rows on the whole test split: that of `a` minus that of `b`."""

    a: str
    b: str

    def claim(self) -> str:
        """Return a sentence with what the interval supports."""
        if self.is_shown:
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
    def holds_in_all_parts(self) -> bool:
        """Whether all parts show what the whole text shows."""
        return all(part.direction is self.direction for part in self.shown_parts.values())

    @property
    def parts_contradict(self) -> bool:
        """Whether a part shows the opposite of another one, or of the whole text.

        A part that shows no difference contradicts none: it may only be too short to show it.
        """
        shown = {self.direction, *(part.direction for part in self.shown_parts.values())}
        return {Direction.LOWER, Direction.HIGHER} <= shown

    @property
    def shown_parts(self) -> dict[str, PartDifference]:
        """The parts that are long enough for an interval."""
        return {name: part for name, part in self.by_play.items() if part.ci95 is not None}

    @computed_field  # type: ignore[prop-decorator]  # mypy does not support this usage
    @property
    def sentence(self) -> str:
        """The claim that the intervals support, and no more.

        A difference that does not hold in all parts of the text is stated for each part.
        """
        if self.holds_in_all_parts:
            return self.claim()
        shown_first = sorted(self.shown_parts.items(), key=lambda item: not item[1].is_shown)
        by_part = "; ".join(f"in {name}, {part.describe()}" for name, part in shown_first)
        return f"{self.a} against {self.b}: {by_part}; over the whole text, {self.describe()}"
