"""What pretraining is worth, in text: how much more of it the scratch track would need.

Both tracks are trained on shares of the training split.  Where the scratch track's curve meets the
score of a fine-tuned model, it has read enough text to make up for pretraining.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile

import numpy as np
from tqdm.auto import tqdm

from compare.corpus import Corpus
from compare.kinds import RowKind
from compare.report.results import ResultRow
from compare.report.worth_results import TextEquivalent, Worth, WorthCurve, WorthPoint
from compare.ruler.intervals import Estimate, Uncertainty, interval, simultaneous_level
from compare.ruler.scoring import Score
from compare.ruler.text_units import TextUnits
from compare.runs.find import CompleteRun
from compare.runs.kept import KeptModel
from compare.runs.study import Group, Study

STEPS_PER_DOUBLING = 64  # lengths of text at which the curves are compared: 1.1% apart
# Fewer than for the report's other intervals: there is an estimate for every length, and the bounds
# are rounded to two digits anyway.
DRAWS = 5000


@dataclass(frozen=True)
class ScoredPoint:
    """A point of a curve, and the scores behind it."""

    row: str
    """Its name among the rows of an `Uncertainty`."""
    result: WorthPoint
    scores: Sequence[Score]


@dataclass(frozen=True)
class ScoredCurve:
    """The points of a recipe, the smallest share first."""

    name: str
    kind: RowKind
    base: str | None
    points: Sequence[ScoredPoint]


def worth(
    study: Study,
    corpus: Corpus,
    rows: Mapping[str, ResultRow],
    scores: Mapping[str, Sequence[Score]],
    units: TextUnits,
    part_ends: Sequence[int],
) -> Worth | None:
    """Score the runs on a share of the training split, and compare the curves of both tracks.

    `rows` and `scores` are those of the models trained on the whole split, and of the base, by row
    name.  `units` and `part_ends` are of the test split, as for `Uncertainty`.  Returns None unless
    both tracks have runs on a share.
    """
    fine_tuned, scratch = _compared(study)
    if fine_tuned is None or scratch is None:
        return None
    groups = [group for group in study.groups if group.shares]
    bar = tqdm(groups, "shares of the text", leave=False, disable=None)
    curves = [_scored_curve(group, corpus, rows, scores) for group in bar]
    if not units.enough:
        return Worth(curves=[_result(curve) for curve in curves], equivalents=[])
    by_row = {point.row: point.scores for curve in curves for point in curve.points}
    uncertainty = Uncertainty(by_row, units, part_ends, draws=DRAWS)
    a, b = (curves[groups.index(group)] for group in (fine_tuned, scratch))
    equivalents, base_is_better = compare_curves(a, b, uncertainty)
    return Worth(
        curves=[_result(curve, uncertainty) for curve in curves],
        equivalents=equivalents,
        base_is_better=base_is_better,
    )


def _compared(study: Study) -> tuple[Group | None, Group | None]:
    """Return the fine-tuned recipe with runs on shares, and the scratch recipe with such runs.

    Of several bases, it is the first with runs on shares.  Of several scratch recipes, it is the
    one that is best on validation with the whole split.
    """
    fine_tuned = [
        group for group in study.gpt2 if group.shares and group.kind is not RowKind.RANDOM_WEIGHTS
    ]
    scratch = [group for group in study.scratch if group.shares]
    return (
        fine_tuned[0] if fine_tuned else None,
        min(scratch, key=lambda group: group.best.validation_nats, default=None),
    )


def _scored_curve(
    group: Group,
    corpus: Corpus,
    rows: Mapping[str, ResultRow],
    scores: Mapping[str, Sequence[Score]],
) -> ScoredCurve:
    """Score the runs of a recipe on shares; its other points have been scored already."""
    record = group.best.record
    name = record.display_name
    points = []
    for share in group.shares:
        label = f"{name}, {share.share:g}"
        # The checksums of runs have been compared with the files, by `candidates`.
        tested = [
            KeptModel(run.model, run.record.model_sha256).score(corpus.test, label=label)
            for run in share.runs
        ]
        points.append(_point(label, name, share.share, share.runs, tested))
    points.append(_point(name, name, 1, group.runs, scores[name], rows[name]))
    if record.base and group.kind is not RowKind.RANDOM_WEIGHTS:
        zero_shot = f"{record.base.resolved} {RowKind.ZERO_SHOT}"
        untouched = _point(zero_shot, zero_shot, 0, [], scores[zero_shot], rows[zero_shot])
        points.insert(0, untouched)
    base = record.base.resolved if record.base else None
    return ScoredCurve(name, group.kind, base, points)


def _point(
    row: str,
    name: str,
    share: float,
    runs: Sequence[CompleteRun],
    scores: Sequence[Score],
    shown: ResultRow | None = None,
) -> ScoredPoint:
    """Return a point called `name`, which repeats the row `shown` of the table if there is one."""
    mean = float(np.mean([score.metrics.bits_per_byte for score in scores]))
    result = WorthPoint(
        name=name,
        share=share,
        characters=runs[0].record.corpus.splits["train"].chars if runs else 0,
        epochs=max((run.record.config["epochs"] for run in runs), default=0),
        seeds=len(runs),
        bits_per_byte=shown.bits_per_byte if shown else mean,
        ci95=shown.ci95 if shown else None,
    )
    return ScoredPoint(row, result, scores)


def _result(curve: ScoredCurve, uncertainty: Uncertainty | None = None) -> WorthCurve:
    """Return what the report keeps of a curve, with intervals for the points that lack one."""
    points = []
    for point in curve.points:
        ci95 = point.result.ci95
        if uncertainty and ci95 is None:
            ci95 = interval(uncertainty.score(point.row))
        points.append(point.result.model_copy(update={"ci95": ci95}))
    return WorthCurve(name=curve.name, kind=curve.kind, base=curve.base, points=points)


def compare_curves(
    fine_tuned: ScoredCurve, scratch: ScoredCurve, uncertainty: Uncertainty
) -> tuple[list[TextEquivalent], bool]:
    """Return for each share how many times the text the scratch track would need to score equally.

    Also returns whether the base before fine-tuning, if it is a point of `fine_tuned`, is shown to
    be better than the scratch track at every length of text.

    A length of text may be the true one if the interval of the difference at that length contains
    0, as in Fieller's theorem.  The bounds are then wrong only if the interval at the true length
    is.  That length is unknown, so the level is chosen for the lengths where the scores are most
    alike: one for each share, with intervals that hold simultaneously.
    """
    lengths, mixtures = _between_points(scratch.points)
    differences = [
        # Scratch minus fine-tuned: above 0, the scratch track is worse and needs more text.
        [uncertainty.combination(mixture | {point.row: -1.0}) for mixture in mixtures]
        for point in fine_tuned.points
    ]
    level = simultaneous_level([min(each, key=_distance_from_0) for each in differences])
    equivalents = []
    base_is_better = False
    for point, estimates in zip(fine_tuned.points, differences, strict=True):
        intervals = [interval(estimate, level) for estimate in estimates]
        if not point.result.share:
            base_is_better = all(low > 0 for low, _ in intervals)
            continue
        times = lengths / point.result.characters
        worse = _leading(low > 0 for low, _ in intervals)
        better = _leading(high < 0 for _, high in reversed(intervals))
        equivalents.append(
            TextEquivalent(
                fine_tuned=fine_tuned.name,
                share=point.result.share,
                characters=point.result.characters,
                scratch=scratch.name,
                smallest_share=scratch.points[0].result.share,
                low=_rounded(times[worse - 1], math.floor) if worse else None,
                high=_rounded(times[-better], math.ceil) if better else None,
                is_off_the_curve=len(times) in (worse, better),
            )
        )
    return equivalents, base_is_better


def _between_points(
    points: Sequence[ScoredPoint],
) -> tuple[np.ndarray, list[dict[str, float]]]:
    """Return lengths of text along a curve, and the weights of its points at each of them.

    Neighboring points are connected linearly over the logarithm of their characters.
    """
    lengths = [float(points[0].result.characters)]
    weights = [{points[0].row: 1.0}]
    for a, b in pairwise(points):
        start, end = a.result.characters, b.result.characters
        steps = max(1, math.ceil(STEPS_PER_DOUBLING * math.log2(end / start)))
        for step in range(1, steps + 1):
            lengths.append(start * (end / start) ** (step / steps))
            weights.append({a.row: 1 - step / steps, b.row: step / steps})
    return np.array(lengths), weights


def _leading(conditions: Iterable[bool]) -> int:
    """Return how many conditions are met before the first that is not."""
    return sum(takewhile(bool, conditions))


def _distance_from_0(estimate: Estimate) -> float:
    return abs(estimate.value) / estimate.standard_error


def _rounded(number: float, direction: Callable[[float], int]) -> float:
    """Round to two significant digits with `math.floor` or `math.ceil`."""
    digits = 1 - math.floor(math.log10(number))
    # 1e-9: a whole number stays one, although a quotient may miss it by a rounding error.
    nudge = 1e-9 if direction is math.floor else -1e-9
    return round(direction(number * 10**digits + nudge) / 10**digits, digits)
