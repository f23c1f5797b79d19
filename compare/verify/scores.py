"""Score the text with the weights, and compare the score with what card and record claim."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from compare.corpus import Corpus
from compare.corpus.parts import parts_of_test
from compare.ruler import scoring
from compare.ruler.intervals import Uncertainty, interval
from compare.ruler.metrics import Interval, Metrics
from compare.ruler.scoring import Score
from compare.ruler.text_units import split_into_units
from compare.runs.record import RunRecord
from compare.verify.claims import Claim, Clarity, Split, claim_of_record
from compare.verify.points import Point, failed, not_checkable, passed

SCORE = ("score", "Predicts the text")
CLAIMS = ("claims", "Claims no score better than its weights achieve")
RECORD = ("record", "The record's score is that of these weights")

TOLERANCE = 1e-3  # bits per byte; machines differ by less
# Bits per byte by which an honest score on a test split may be better than the one here.  In this
# study's own report, windows that begin after each eighth of a context gain up to 0.03, and a test
# split of the last 10% of Tiny Shakespeare instead of the last 5% gains up to 0.12.
MEASURED_OTHERWISE = 0.2
QUICK = 8000  # characters


@dataclass(frozen=True)
class Text:
    """The text that is scored: a corpus, or with --quick the beginning of its splits."""

    corpus: Corpus
    is_quick: bool

    def split(self, split: Split) -> str:
        """Return the characters of a split that are scored."""
        text = self.corpus.test if split is Split.TEST else self.corpus.validation
        return text[:QUICK] if self.is_quick else text

    def part_of_training(self, seed: int) -> str:
        """Return as many characters of the training split as are scored of the test split.

        They begin at a random place, so that no model can be prepared for them.
        """
        train, length = self.corpus.train, len(self.split(Split.TEST))
        start = int(np.random.default_rng(seed).integers(max(1, len(train) - length)))
        return train[start : start + length]

    @property
    def description(self) -> str:
        """What is scored, for people."""
        part = f"the first {QUICK:,} characters of the" if self.is_quick else "the"
        return f"{part} test split of {self.corpus.name}"


class Scores:
    """Scores of one model, each computed when it is first asked for."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: Text, label: str
    ) -> None:
        self.text = text
        self.of: Callable[[Split], Score] = cache(
            lambda split: scoring.score(
                model, tokenizer, text.split(split), label=f"{label}, {split}"
            )
        )
        self._model, self._tokenizer, self._label = model, tokenizer, label

    def of_training(self, seed: int) -> Score:
        """Score as much of the training split, at a random place."""
        part = self.text.part_of_training(seed)
        return scoring.score(self._model, self._tokenizer, part, label=f"{self._label}, training")

    def interval(self) -> Interval | None:
        """Return the interval of the test split's bits per byte; None if the text is too short."""
        score = self.of(Split.TEST)
        units = split_into_units(score.text)
        if not units.enough:
            return None
        corpus, whole = self.text.corpus, len(score.text.encode())
        sizes = [len(corpus.test[each.start : each.end].encode()) for each in parts_of_test(corpus)]
        ends = [whole] if self.text.is_quick else np.cumsum(sizes).tolist()
        return interval(Uncertainty({"model": [score]}, units, ends).score("model"))

    def check_score(self, is_meaningful: bool) -> Point:
        """Report the score of the test split.

        `is_meaningful` is false if the model sees the future, for instance.
        """
        metrics, ci95 = self.of(Split.TEST).metrics, self.interval()
        width = f" [{ci95[0]:.3f}, {ci95[1]:.3f}]" if ci95 else ""
        evidence = f"{metrics.bits_per_byte:.4f} bits/byte{width} on {self.text.description}"
        if not math.isfinite(metrics.bits_per_byte):
            return failed(*SCORE, f"{evidence}: some of the text has no probability at all")
        if not is_meaningful:
            return failed(
                *SCORE,
                f"{evidence}; this does not count as a score, because a check above failed",
            )
        uniform = math.log(self._model.config.vocab_size)
        if metrics.loss >= uniform:
            return failed(
                *SCORE,
                f"{evidence}: {metrics.loss:.3f} nats per token, where guessing at random needs "
                f"{uniform:.3f}",
            )
        return passed(*SCORE, f"{evidence}; {metrics.loss:.3f} nats per token")

    def check_claims(self, claims: Sequence[Claim]) -> Point:
        """Compare the claims of a card with the weights: none may be better than they are.

        A better one fails only if it says what was measured, and how: exactly, or so that no other
        way to measure explains the difference.  Otherwise it is a question.
        """
        if not claims:
            return not_checkable(*CLAIMS, "nothing here claims a score: add it to the card")
        better: list[str] = []
        questions: list[str] = []
        not_better: list[str] = []
        unclear: list[str] = []
        for claim in claims:
            if reason := self._why_not_comparable(claim):
                unclear.append(f"{_describe(claim)} ({reason})")
                continue
            metrics = self._metrics(claim)
            compared = f"{_describe(claim)}; the weights give {_value(claim, metrics):.4g}"
            if claim.split is None:
                compared += f" on {Split.TEST}"
            gain = metrics.bits_per_byte - claim.bits_per_byte(metrics)
            if gain <= TOLERANCE:
                not_better.append(compared)
            elif claim.clarity is Clarity.EXACT:
                better.append(compared)
            elif claim.clarity is Clarity.ROUGH and gain > MEASURED_OTHERWISE:
                better.append(f"{compared}: more than another way to measure explains")
            else:
                questions.append(f"{compared}: measured how, and on what?")
        if better:
            return failed(*CLAIMS, "; ".join(better))
        if questions:
            return not_checkable(*CLAIMS, "; ".join(questions))
        if not_better:
            return passed(*CLAIMS, "; ".join([*not_better, *unclear]))
        return not_checkable(*CLAIMS, "; ".join(unclear))

    def check_record(self, record: RunRecord, parameters: int) -> Point:
        """Compare a run's record with the weights, which have so many `parameters`.

        The scores must be equal, because the record was written by the same ruler.
        """
        if record.parameters.total != parameters:
            return failed(
                *RECORD,
                f"run.json: {record.parameters.total:,} parameters; the weights have "
                f"{parameters:,}",
            )
        claim = claim_of_record(record, self.text.corpus)
        if reason := self._why_not_comparable(claim):
            return not_checkable(*RECORD, f"{_describe(claim)} ({reason})")
        actual = self._metrics(claim).bits_per_byte
        evidence = f"{_describe(claim)}; the weights give {actual:.4f}"
        if abs(claim.value - actual) > TOLERANCE:
            return failed(*RECORD, f"{evidence}: they are not the weights that were recorded")
        return passed(*RECORD, evidence)

    def _metrics(self, claim: Claim) -> Metrics:
        return self.of(Split(claim.split or Split.TEST)).metrics

    def _why_not_comparable(self, claim: Claim) -> str | None:
        """Return why a claim cannot be compared with the weights; None if it can."""
        if claim.other_text is not None:
            return f"on another text, {claim.other_text}"
        if claim.further_words:
            return f"what is meant by {claim.further_words!r} is not known here"
        if claim.split not in (*Split, None):
            return f"on the split {claim.split}"
        if self.text.is_quick:
            return "with --quick, only a part is scored"
        if claim.clarity is Clarity.VAGUE:
            actual = _value(claim, self._metrics(claim))
            return f"it is not said how it was measured; the ruler here gives {actual:.4g}"
        return None


def _describe(claim: Claim) -> str:
    split = f" on {claim.split}" if claim.split else ""
    digits = max(0, min(claim.decimals, 4))
    return f"{claim.source}: {claim.metric.replace('_', ' ')} {claim.value:.{digits}f}{split}"


def _value(claim: Claim, metrics: Metrics) -> float:
    """Return the model's value in the unit of `claim`."""
    value = getattr(metrics, claim.unit)
    return math.inf if value is None else float(value)
