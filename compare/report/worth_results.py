"""The types of what pretraining is worth in text, and the sentences that they support."""

from __future__ import annotations

from compare.kinds import RowKind
from compare.ruler.metrics import Interval
from compare.strict_model import FrozenModel
from compare.wording import share_of_text


def _short(times: float) -> str:
    """Format a number of two significant digits."""
    return f"{times:,.0f}" if times >= 10 else f"{times:.2g}"


def _times_as_much(times: float) -> str:
    return "as much" if times == 1 else f"{_short(times)} times as much"


class WorthPoint(FrozenModel):
    """The score of a recipe on the test split, after training on a share of the training split."""

    name: str | None = None
    """The name of its row: that of the curve, or of the base before fine-tuning.  None in old
    files."""
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


class WorthCurve(FrozenModel):
    """The scores of one recipe after training on more and more of the training split."""

    name: str
    """The name of the row that was trained on the whole training split."""
    kind: RowKind
    base: str | None
    """Name of the pretrained model, in the GPT-2 track."""
    points: list[WorthPoint]
    """The smallest share first."""

    @property
    def trained(self) -> list[WorthPoint]:
        """Its points without the base before fine-tuning."""
        return [point for point in self.points if point.share]

    def name_of(self, point: WorthPoint) -> str:
        """Return the name of the row that one of its points belongs to."""
        return point.name or self.name

    def kind_of(self, point: WorthPoint) -> RowKind:
        """Return the kind of one of its points: the base before fine-tuning is of another kind."""
        return self.kind if point.share else RowKind.ZERO_SHOT


class TextEquivalent(FrozenModel):
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
            f"{self.fine_tuned} on {share_of_text(self.share)} ({self.characters:,} characters)"
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
                f"{share_of_text(self.smallest_share)}: {bound} text would be enough"
            )
        amount = "an amount of text that these runs do not bound"
        if self.low is not None and self.high is not None:
            amount = f"{_short(self.low)} to {_short(self.high)} times as much text"
        elif self.low is not None:
            amount = f"at least {_times_as_much(self.low)} text, with no upper bound shown"
        elif self.high is not None:
            amount = f"at most {_times_as_much(self.high)} text, with no lower bound shown"
        return f"{subject} scores like {self.scratch} on {amount}"


class Worth(FrozenModel):
    """What pretraining is worth, in text: how scores depend on the amount of training text."""

    curves: list[WorthCurve]
    equivalents: list[TextEquivalent]
    """One for each share that was fine-tuned on; all hold simultaneously with probability 95%."""
    base_is_better: bool = False
    """Whether the base before fine-tuning is shown to be better than the scratch track at every
    length of text.  If so, the lower bounds of `equivalents` only say how long the text is.  This
    holds simultaneously with them."""

    @property
    def zero_shot(self) -> dict[str, float]:
        """The bits per byte of the bases before fine-tuning, by base."""
        return {
            curve.base: point.bits_per_byte
            for curve in self.curves
            for point in curve.points
            if curve.base and not point.share
        }
