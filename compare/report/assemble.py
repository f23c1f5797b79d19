"""Measure the whole study, and put its results together.

This is the only reader of the test split, apart from the check of what was published.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from tqdm.auto import tqdm

from compare.corpus import Corpus
from compare.report import published_results, surprisal, word_classes
from compare.report.baselines import baselines
from compare.report.candidates import Candidate, candidates
from compare.report.claims import differences
from compare.report.course_checklist import requirements
from compare.report.measure import SETTINGS, Measured, measure
from compare.report.memorization import copied_passages, measure_memorization
from compare.report.results import (
    BlockCount,
    Curve,
    CurvePoint,
    Memorization,
    Results,
    RunResult,
    Sample,
    SurprisalResult,
    TestScores,
)
from compare.ruler import bootstrap, sampling
from compare.ruler.scoring import Score
from compare.runs import find
from compare.runs.find import CompleteRun
from compare.runs.receipt import published
from compare.runs.record import BaseIdentity, CorpusRecord

REAL_TEXT = "real text of the test split"


def assemble() -> Results:
    """Score the newest runs of both tracks on the test split, and return all results."""
    study = find.study()
    compared = candidates(study)
    corpus = find.corpus_of(study.best_gpt2)
    rows, baseline_scores = baselines(corpus)
    bar = tqdm(compared, "models", leave=False, disable=None)
    measured = [measure(candidate, corpus) for candidate in bar]
    scores = {name: [score] for name, score in baseline_scores.items()}
    scores |= {each.row.name: each.scores for each in measured}
    blocks, draws = bootstrap.split_into_blocks(corpus.test), bootstrap.resample(scores)
    rows = [
        row.model_copy(update={"ci95": bootstrap.interval(draws.get(row.name))})
        for row in sorted(
            [*rows, *(each.row for each in measured)], key=lambda row: row.bits_per_byte
        )
    ]
    means = {name: bootstrap.mean(runs) for name, runs in scores.items()}
    by_word_class = word_classes.by_word_class(means, corpus.test, corpus.train)
    chosen = (study.best_scratch, study.best_gpt2)
    return Results(
        written=time.strftime("%Y-%m-%d", time.gmtime()),
        corpus=CorpusRecord.model_validate(corpus.record()),
        blocks=BlockCount(kind=blocks.kind, number=len(blocks.ends), needed=bootstrap.MIN_BLOCKS),
        rows=rows,
        differences=differences(rows, draws, by_word_class, study.best_scratch.record.preset),
        notes=[
            *bootstrap.notes(blocks),
            *published_results.notes(rows, corpus.name),
            *notes_on_training(compared),
        ],
        word_classes=by_word_class,
        common_word_count=word_classes.COMMON_WORD_COUNT,
        closer_looks=[each.closer_look for each in measured],
        memorization=_memorization(measured, corpus),
        runs=[result for each in measured for result in _run_results(each)],
        curves={
            each.row.name: _curve(each.candidate.runs[0])
            for each in measured
            if each.candidate.runs
        },
        surprisal=_surprisal(measured, corpus),
        samples=_samples(measured, corpus),
        sample_settings=SETTINGS,
        requirements=requirements(*chosen),
        chosen={run.record.track: run.path.name for run in chosen},
        hub_links={run.record.track: published(run) for run in chosen},
    )


def notes_on_training(compared: Sequence[Candidate]) -> list[str]:
    """Return notes on the rows whose runs learned from more than the training split's text."""
    notes = []
    for candidate in compared:
        if not candidate.runs:
            continue
        record = candidate.runs[0].record
        if teachers := record.teachers_sha256:
            notes.append(
                f"{candidate.name} was distilled from {len(teachers)} other models of its track, "
                "which were trained on the same split. Its cost excludes their training."
            )
        if record.config.get("drills"):
            notes.append(
                f"{candidate.name} was also trained on copying exercises, which are rows of random "
                "tokens. Its seconds include them; its FLOPs do not."
            )
    return notes


def _memorization(measured: Sequence[Measured], corpus: Corpus) -> list[Memorization]:
    """Measure memorization in each model's samples, and for reference in as much real text."""
    excerpts, length = len(sampling.prompts(corpus)), SETTINGS.characters
    starts = np.linspace(0, max(0, len(corpus.test) - length), excerpts, dtype=int)
    texts = {REAL_TEXT: [corpus.test[start : start + length] for start in starts]}
    texts |= {each.row.name: each.texts for each in measured}
    return [measure_memorization(name, each, corpus.train) for name, each in texts.items()]


def _surprisal(measured: Sequence[Measured], corpus: Corpus) -> SurprisalResult:
    start, end = surprisal.passage(corpus.test)
    return SurprisalResult(
        characters=end - start,
        models={each.row.name: surprisal.by_token(each.scores[0], start, end) for each in measured},
    )


def _samples(measured: Sequence[Measured], corpus: Corpus) -> list[Sample]:
    samples = []
    for number, prompt in enumerate(sampling.prompts(corpus)):
        texts = {each.row.name: each.texts[number] for each in measured}
        copied = {name: copied_passages(text, corpus.train) for name, text in texts.items()}
        samples.append(Sample(prompt=prompt, texts=texts, copied=copied))
    return samples


def _run_results(measured: Measured) -> list[RunResult]:
    """The results of each run behind a row."""
    return [
        _run_result(run, measured.row.name, test, test_slice)
        for run, test, test_slice in zip(
            measured.candidate.runs, measured.scores, measured.slices, strict=False
        )  # not strict: an untouched base has scores but no run
    ]


def _run_result(run: CompleteRun, name: str, test: Score, test_slice: Score) -> RunResult:
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
        # The folder is a path of this machine.
        base=BaseIdentity(**record.base.model_dump(exclude={"folder"})) if record.base else None,
        zero_shot=record.zero_shot,
        test=TestScores(
            **asdict(test.metrics),
            ci95=bootstrap.interval(bootstrap.resample({name: [test]}).get(name)),
        ),
        test_slice=test_slice.metrics,
    )


def _curve(run: CompleteRun) -> Curve:
    """The history of a run in bits per byte.

    Training losses, in nats per token, are converted with the tokens per byte of the validation
    split.
    """
    scores = run.record.epochs[0].eval
    bits_per_byte_per_nat = scores.bits_per_byte / scores.loss
    return Curve(
        train=[
            CurvePoint(
                characters_seen=line["characters_seen"],
                bits_per_byte=line["train/loss"] * bits_per_byte_per_nat,
            )
            for line in run.history
            if "train/loss" in line
        ],
        validation=[
            CurvePoint(
                characters_seen=line["characters_seen"], bits_per_byte=line["eval/bits_per_byte"]
            )
            for line in run.history
            if "eval/bits_per_byte" in line
        ],
    )
