"""The types of what pretraining is worth in text, and the sentences that they support."""

from __future__ import annotations

from fractions import Fraction

from compare.kinds import RowKind
from compare.ruler.metrics import Interval
from compare.strict_model import FrozenModel


def format_share(share: float) -> str:
    """Return a share of a text as a simple fraction, such as 1/8, or else in percent."""
    fraction = Fraction(share)
    return str(fraction) if fraction.denominator <= 16 else f"{100 * share:g}%"


def _share_in_words(share: float) -> str:
    """Return how much of the text a share is, such as "1/8 of the text"."""
    if share in (0, 1):
        return "all of the text" if share else "none of the text"
    return f"{format_share(share)} of the text"


def _short(times: float) -> str:
    """Format a number of two significant digits."""
    return f"{times:,.0f}" if times >= 10 else f"{times:.2g}"


class WorthPoint(FrozenModel):
    """The score of a recipe on the test split, after training on a share of the training split."""

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
            f"{self.fine_tuned} on {_share_in_words(self.share)} ({self.characters:,} characters)"
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
                f"{_share_in_words(self.smallest_share)}: {bound} text would be enough"
            )
        amount = "an amount of text that these runs do not bound"
        if self.low is not None and self.high is not None:
            amount = f"{_short(self.low)} to {_short(self.high)} times as much text"
        elif self.low is not None:
            amount = f"at least {_short(self.low)} times as much text, with no upper bound shown"
        elif self.high is not None:
            amount = f"at most {_short(self.high)} times as much text, with no lower bound shown"
        return f"{subject} equals {self.scratch} on {amount}"


class Worth(FrozenModel):
    """What pretraining is worth, in text: how scores depend on the amount of training text."""

    curves: list[WorthCurve]
    equivalents: list[TextEquivalent]
    """One for each share that was fine-tuned on; all hold simultaneously with probability 95%."""

    @property
    def zero_shot(self) -> dict[str, float]:
        """The bits per byte of the bases before fine-tuning, by base."""
        return {
            curve.base: point.bits_per_byte
            for curve in self.curves
            for point in curve.points
            if curve.base and not point.share
        }
