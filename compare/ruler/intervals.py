"""Confidence intervals for scores and their differences: over neighboring text, and over seeds.

All models find the same passages hard, so differences are paired: they are computed for every unit
of the text, for instance for every speech.  Two things vary.

- **The text.**  Differences of neighboring speeches are correlated, so blocks of neighboring
  speeches are resampled, within each part of the text (a play).  The automatic block length of
  Politis and White (2004, corrected by Patton, Politis and White 2009) minimizes the error of the
  variance.  Intervals need longer blocks, as Lazarus, Lewis, Stock and Watson (2018, "HAR
  Inference") show; BLOCK_FACTOR and their 1.3 sqrt(n) are used here, with Student's t for the
  number of blocks.  If a part is short, the text is resampled as a whole.
  `tests/compare/ruler/test_coverage.py` simulates how often such intervals contain the true value.
- **The seed.**  A row with several runs varies by its run means.  Their variance comes from few
  runs, so it enters with its few degrees of freedom, as in Welch's t-test.  A row with a single run
  is taken as it is: its interval is for this run, not for its recipe.

Several intervals can be required to hold together.  Their width then comes from the maximum of the
studentized deviations over the same draws, balanced so that each interval fails equally often
(Beran 1988, "Balanced Simultaneous Confidence Sets").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from arch.bootstrap import optimal_block_length
from scipy import stats

from compare.ruler.metrics import Interval
from compare.ruler.scoring import Score, nats_by_range
from compare.ruler.text_units import TextUnits

# Intervals that hold simultaneously have levels of about 0.997, so that 150 draws lie beyond their
# ends.  In repetitions with other random numbers, these ends vary by about 1% of half their width;
# with 5,000 draws, by about 4%.  The draws are a few MB for each part of the text.
DRAWS = 50_000
LEVEL = 0.95
# The nominal level of several intervals at once.  With few blocks in a play, the tails are heavier
# than the draws show: at 95%, one or more of 15 intervals were wrong in 8.5% of simulated studies,
# and at 97% in 4.9%.
JOINT_LEVEL = 0.97
# The units of a part that is resampled on its own, and has intervals of its own.  These rely on few
# blocks: with three parts of 50 units, one or more of 16 intervals were wrong in 21% of 400
# simulated studies, with three of 100 in 13%, of 150 in 8%, and of 300 in 5%.  Without intervals
# for parts, and with blocks of the whole text, it was 3% to 6% for texts of 150 to 420 units.
MIN_PART_UNITS = 150
BLOCK_FACTOR = 3
MIN_BLOCKS = 5  # in a part of the text: with fewer, its variance is unknown
LAZARUS_FACTOR = 1.3


@dataclass(frozen=True)
class Estimate:
    """A score or a difference, and how far estimates like it deviate from the truth."""

    value: float
    """Bits per byte."""
    standard_error: float
    deviations: np.ndarray
    """(draws,): absolute studentized deviations, in common random numbers for all estimates."""


@dataclass(frozen=True)
class _Stratum:
    """A part of the text that is resampled on its own."""

    members: np.ndarray  # indices of its units
    block_length: int

    @property
    def blocks(self) -> float:
        return len(self.members) / self.block_length


class Uncertainty:
    """Estimates for several rows on one text, with common random numbers.

    The intervals of a row depend slightly on which other rows there are: the lengths of the blocks
    are chosen once for all rows, and the random numbers are drawn for all of them.

    Args:
        rows: the scores of every run, by row name; all of the same text.
        units: the units of that text.
        part_ends: byte offsets where its parts end, ascending; the last is the length of the text.
        seed: of the random numbers.
        draws: how often the text and the runs are resampled.
    """

    def __init__(
        self,
        rows: Mapping[str, Sequence[Score]],
        units: TextUnits,
        part_ends: Sequence[int],
        seed: int = 0,
        draws: int = DRAWS,
    ) -> None:
        if not units.enough:
            raise ValueError(f"{units} are too few for intervals")
        self._sizes = np.diff(units.ends, prepend=0).astype(float)
        self._nats = {
            name: np.stack([nats_by_range(run, units.ends) for run in runs])
            for name, runs in rows.items()
        }  # (runs, units) each
        parts = np.searchsorted(part_ends, units.ends)
        self._parts = [np.flatnonzero(parts == part) for part in range(len(part_ends))]
        self._rng = np.random.default_rng(seed)
        self._block_starts: dict[tuple[int, int, int], np.ndarray] = {}
        self._draws = draws
        self._text_uniforms = self._rng.random(draws)
        several = [name for name, runs in rows.items() if len(runs) > 1]
        self._run_normals = {name: self._rng.standard_normal(draws) for name in several}
        self._run_chi_squares = {
            name: self._rng.chisquare(len(rows[name]) - 1, draws) for name in several
        }
        self._part_strata: dict[int, _Stratum] = {}
        self._strata = self._cut_strata()

    def score(self, row: str, part: int | None = None) -> Estimate:
        """Estimate the bits per byte of a row, on one part of the text or on all of it."""
        return self.combination({row: 1.0}, part)

    def difference(self, a: str, b: str, part: int | None = None) -> Estimate:
        """Estimate the bits per byte of row `a` minus those of row `b`."""
        return self.combination({a: 1.0, b: -1.0}, part)

    @property
    def block_lengths(self) -> list[int]:
        """The units in each block, for each part, or for the whole text if its parts are short."""
        return [stratum.block_length for stratum in self._strata]

    def has_interval(self, part: int) -> bool:
        """Return whether a part of the text has enough units for an interval of its own."""
        return len(self._parts[part]) >= MIN_PART_UNITS

    def _cut_strata(self) -> list[_Stratum]:
        """Return the parts as strata, or a single stratum if one of them is too short."""
        if min(map(len, self._parts)) >= MIN_PART_UNITS:
            return [self._stratum_of(part) for part in range(len(self._parts))]
        whole = np.arange(len(self._sizes))
        return [_Stratum(whole, self._block_length(whole))]

    def _stratum_of(self, part: int) -> _Stratum:
        """Return a part as a stratum; its block length is the same for all estimates."""
        if part not in self._part_strata:
            members = self._parts[part]
            self._part_strata[part] = _Stratum(members, self._block_length(members))
        return self._part_strata[part]

    def _block_length(self, members: np.ndarray) -> int:
        """Choose a block length from the dependence of all rows' differences and scores."""
        means = {name: nats.mean(axis=0)[members] for name, nats in self._nats.items()}
        series = [*means.values(), *(means[a] - means[b] for a, b in combinations(means, 2))]
        residuals = [self._residuals(each, members) for each in series]
        lengths = [
            float(optimal_block_length(each)["circular"].iloc[0])
            for each in residuals
            if each.std() > 0
        ]
        n = len(members)
        automatic = BLOCK_FACTOR * float(np.mean(lengths)) if lengths else 1.0
        length = math.ceil(max(automatic, LAZARUS_FACTOR * math.sqrt(n)))
        return min(length, n // MIN_BLOCKS)

    def _residuals(self, nats: np.ndarray, members: np.ndarray) -> np.ndarray:
        """Return what the nats of units deviate from their mean per byte; the sum is zero."""
        sizes = self._sizes[members]
        return nats - nats.sum() / sizes.sum() * sizes

    def combination(self, weights: Mapping[str, float], part: int | None = None) -> Estimate:
        """Estimate the sum of rows' bits per byte, each multiplied by its weight."""
        strata, whole = self._strata, np.arange(len(self._sizes))
        if part is not None:
            strata, whole = [self._stratum_of(part)], self._parts[part]
        bits_per_nat = 1 / (math.log(2) * self._sizes[whole].sum())
        by_run = {
            name: self._nats[name][:, whole].sum(axis=1) * bits_per_nat * weight
            for name, weight in weights.items()
        }
        value = sum(float(runs.mean()) for runs in by_run.values())
        nats = sum(self._nats[name].mean(axis=0) * weight for name, weight in weights.items())
        deviation, text_variance, degrees = self._resample_text(
            np.asarray(nats) * bits_per_nat, strata
        )
        variance = text_variance
        drawn_variance = text_variance * stats.chi2.ppf(self._text_uniforms, degrees) / degrees
        for name, runs in by_run.items():
            if len(runs) > 1:
                variance_of_mean = float(runs.var(ddof=1)) / len(runs)
                run_degrees = len(runs) - 1
                sign = math.copysign(1, weights[name])
                variance += variance_of_mean
                deviation = deviation + sign * math.sqrt(variance_of_mean) * self._run_normals[name]
                drawn_variance += variance_of_mean * self._run_chi_squares[name] / run_degrees
        if not variance:  # the same nats everywhere, as in the difference of identical runs
            return Estimate(value, 0.0, np.zeros(self._draws))
        return Estimate(value, math.sqrt(variance), np.abs(deviation) / np.sqrt(drawn_variance))

    def _resample_text(
        self, bits: np.ndarray, strata: Sequence[_Stratum]
    ) -> tuple[np.ndarray, float, float]:
        """Resample blocks of units, whose contributions to the value are `bits`.

        Returns the deviations of the draws, their variance, and its degrees of freedom.
        """
        deviation, variance = np.zeros(self._draws), 0.0
        squares = 0.0  # of the parts' variances, each divided by its degrees of freedom
        for stratum in strata:
            residuals = self._residuals(bits[stratum.members], stratum.members)
            sums = _block_sums(residuals, stratum.block_length)
            of_stratum = _variance(residuals, stratum.block_length)
            variance += of_stratum
            squares += of_stratum**2 / (stratum.blocks - 1)
            starts = self._starts(stratum)
            if of_stratum:
                scale = of_stratum / (starts.shape[1] * float(sums.var()))
                deviation += sums[starts].sum(axis=1) * math.sqrt(scale)
        # Welch and Satterthwaite's degrees of freedom of a sum of variances.
        return deviation, variance, variance**2 / squares if squares else 1.0

    def _starts(self, stratum: _Stratum) -> np.ndarray:
        """Return where the blocks of each draw start, (draws, blocks): the same for all rows."""
        first, n, length = int(stratum.members[0]), len(stratum.members), stratum.block_length
        if (first, n, length) not in self._block_starts:
            shape = (self._draws, max(1, round(n / length)))
            self._block_starts[first, n, length] = self._rng.integers(n, size=shape)
        return self._block_starts[first, n, length]


def _block_sums(values: np.ndarray, length: int) -> np.ndarray:
    """Return the sums of all blocks of `length` neighbors, one for each first member.

    The text is taken as a circle, so that its ends are drawn as often as the rest.
    """
    cumulative = np.concatenate(([0.0], np.cumsum(np.resize(values, len(values) + length - 1))))
    return cumulative[length:] - cumulative[:-length]


def _variance(residuals: np.ndarray, length: int) -> float:
    """Estimate the variance of the sum of dependent `residuals` from blocks of `length` of them.

    Blocks cut the dependence at their ends.  The variance that this misses is proportional to 1 /
    length, so twice the estimate minus that of half the length is free of it (Politis and Romano
    1995, "Bias-Corrected Nonparametric Spectral Estimation").  The correction is never downwards.
    """

    def uncorrected(length: int) -> float:
        blocks = len(residuals) / length
        return float(_block_sums(residuals, length).var()) * blocks**2 / (blocks - 1)

    variance = uncorrected(length)
    return max(variance, 2 * variance - uncorrected(max(1, length // 2)))


def simultaneous_intervals(estimates: Sequence[Estimate]) -> list[Interval]:
    """Return intervals that contain all true values together with probability LEVEL.

    For a single estimate, this is its ordinary confidence interval.
    """
    level = simultaneous_level(estimates)
    return [interval(estimate, level) for estimate in estimates]


def simultaneous_level(estimates: Sequence[Estimate]) -> float:
    """Return the level that each interval needs for all to hold together with probability LEVEL.

    For a single estimate, this is LEVEL.
    """
    if len(estimates) == 1:
        return LEVEL
    deviations = np.stack([estimate.deviations for estimate in estimates])
    # Each draw's rank among the draws of its estimate, from 1 / draws to 1.
    ranks = stats.rankdata(deviations, axis=1) / deviations.shape[1]
    return float(np.quantile(ranks.max(axis=0), JOINT_LEVEL))


def interval(estimate: Estimate, level: float = LEVEL) -> Interval:
    """Return the confidence interval of one estimate; alone, it holds with probability `level`."""
    half_width = float(np.quantile(estimate.deviations, level)) * estimate.standard_error
    return estimate.value - half_width, estimate.value + half_width
