"""The results of each run, and its history in bits per byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from compare.report.measure import Measured
from compare.report.results import Curve, CurvePoint, ResultRow, RunResult, TestScores
from compare.ruler.intervals import Uncertainty, interval
from compare.ruler.metrics import Interval
from compare.ruler.scoring import Score
from compare.ruler.text_units import TextUnits
from compare.runs.find import CompleteRun
from compare.runs.history import EvaluationLine, StepsLine


def run_results(
    measured: Measured, row: ResultRow, units: TextUnits, part_ends: Sequence[int]
) -> list[RunResult]:
    """Return the results of each run behind a row of the report.

    `units` and `part_ends` are of the test split, as for `Uncertainty`.  The interval of a single
    run's score covers the choice of the text alone.
    """
    runs = measured.candidate.runs
    if not runs or not units.enough:
        intervals: list[Interval | None] = [None] * len(runs)
    elif len(runs) == 1:
        intervals = [row.ci95]
    else:
        intervals = [
            interval(Uncertainty({"run": [test]}, units, part_ends).score("run"))
            for test in measured.scores
        ]
    return [
        _run_result(run, row.name, test, test_slice, ci95)
        for run, test, test_slice, ci95 in zip(
            runs, measured.scores, measured.slices, intervals, strict=False
        )  # not strict: an untouched base has scores but no run
    ]


def _run_result(
    run: CompleteRun, name: str, test: Score, test_slice: Score, ci95: Interval | None
) -> RunResult:
    """The record of a run, and what it alone needs for the test split."""
    record = run.record
    assert record.best_epoch and record.characters_per_second is not None and record.tracking
    return RunResult(
        name=name,
        run=run.path.name,
        track=record.track,
        preset=record.preset,
        seed=record.seed,
        command=record.command,
        config=record.config,
        parameters=record.parameters,
        device=record.device,
        versions=record.versions,
        git_commit=record.git_commit,
        git_dirty=record.git_dirty,
        started=record.started,
        epochs=record.epochs,
        best_epoch=record.best_epoch,
        wall_seconds=record.wall_seconds,
        characters_per_second=record.characters_per_second,
        peak_memory_mb=record.peak_memory_mb,
        tracking=record.tracking,
        teachers=len(record.teachers_sha256),
        base=record.base.identity if record.base else None,
        zero_shot=record.zero_shot,
        test=TestScores(**asdict(test.metrics), ci95=ci95),
        test_slice=test_slice.metrics,
    )


def curve_of(run: CompleteRun) -> Curve:
    """Return the history of a run in bits per byte.

    Training losses, in nats per token, are converted with the tokens per byte of the validation
    split.
    """
    scores = run.record.epochs[0].eval
    bits_per_byte_per_nat = scores.bits_per_byte / scores.loss
    return Curve(
        train=[
            CurvePoint(
                characters_seen=line.characters_seen,
                bits_per_byte=line.loss * bits_per_byte_per_nat,
            )
            for line in run.history
            if isinstance(line, StepsLine)
        ],
        validation=[
            CurvePoint(characters_seen=line.characters_seen, bits_per_byte=line.bits_per_byte)
            for line in run.history
            if isinstance(line, EvaluationLine)
        ],
    )
