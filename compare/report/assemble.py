"""Measure the whole study, and put its results together.

Only this, `compare.publish` and `compare.verify` score the test split; no training reads it.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence

import numpy as np
from tqdm.auto import tqdm

from compare.corpus import Corpus
from compare.corpus.parts import Part, parts_of_test
from compare.report import (
    contamination,
    other_plays,
    published_results,
    sealed_scores,
    surprisal,
    word_classes,
)
from compare.report.baselines import Baselines, baselines
from compare.report.bases import describe
from compare.report.candidates import Candidate, candidates
from compare.report.claims import claims, pair_matrix
from compare.report.course_checklist import requirements
from compare.report.differences import PairDifference
from compare.report.measure import Measured, measure
from compare.report.memorization import copied_passages, measure_memorization
from compare.report.results import (
    BaseResult,
    Memorization,
    OtherPlays,
    PartScore,
    ResultRow,
    Results,
    Sample,
    SurprisalResult,
    TextPart,
    TextUnitsResult,
)
from compare.report.run_results import curve_of, run_results
from compare.report.storage import read_opening
from compare.report.worth import worth
from compare.ruler import sampling
from compare.ruler.intervals import Uncertainty, interval
from compare.ruler.scoring import Score, mean_score, nats_by_range
from compare.ruler.text_units import FEW_UNITS, MIN_UNITS, TextUnits, split_into_units
from compare.runs import find
from compare.runs.receipt import published_url
from compare.runs.record import CorpusRecord
from compare.runs.study import BaseGroups, find_study, left_out
from compare.wording import counted

REAL_TEXT = "real text of the test split"


def assemble(open_sealed: bool, sample_characters: int) -> Results:
    """Score the newest runs of both tracks on the test split, and return all results.

    Each model's samples have `sample_characters` characters.

    With `open_sealed`, score the sealed text, too, and likewise if an earlier report has opened it:
    it stays open since then.  Raises Misuse if the runs are not of Tiny Shakespeare, to which it
    belongs.
    """
    study = find_study()
    for warning in left_out(study):
        print(f"WARNING: {warning}", file=sys.stderr)
    compared = candidates(study)
    sample_settings = sampling.Settings(characters=sample_characters)
    corpus = find.corpus_of(study.best_gpt2)
    opened = read_opening() if corpus.is_tiny_shakespeare else None
    sealed = sealed_scores.text_to_score(corpus, open_sealed, opened is not None)
    plays = other_plays.excerpts(corpus)
    measured_baselines = baselines(corpus)
    bar = tqdm(compared, "models", leave=False, disable=None)
    texts_to_repeat = contamination.texts_to_repeat(corpus)
    measured = [
        measure(candidate, corpus, sample_settings, texts_to_repeat, sealed, plays)
        for candidate in bar
    ]
    scores = {measured_baselines.ngram_name: [measured_baselines.ngram.score(corpus.test)]}
    scores |= {each.row.name: each.scores for each in measured}
    units, parts = split_into_units(corpus.test), parts_of_test(corpus)
    sizes = [len(corpus.test[part.start : part.end].encode()) for part in parts]
    part_ends = np.cumsum(sizes).tolist()
    uncertainty = Uncertainty(scores, units, part_ends) if units.enough else None
    means = {name: mean_score(runs) for name, runs in scores.items()}
    rows = sorted(
        (
            with_intervals(row, means.get(row.name), parts, part_ends, uncertainty)
            for row in [*measured_baselines.rows, *(each.row for each in measured)]
        ),
        key=lambda row: row.bits_per_byte,
    )
    by_word_class = word_classes.by_word_class(means, corpus.test, corpus.train)
    by_name = {row.name: row for row in rows}
    chosen = (study.best_scratch, study.best_gpt2)
    differences = claims(
        rows,
        study.best_scratch.record.preset,
        [each.base.resolved for each in study.bases],
        by_word_class,
        parts,
        uncertainty,
    )
    on_sealed: list[PairDifference] = []
    seal = None
    if sealed:
        of_sealed = {
            measured_baselines.ngram_name: [measured_baselines.ngram.score(sealed, keep=False)]
        }
        of_sealed |= {each.row.name: each.sealed_scores for each in measured}
        sealed_uncertainty = sealed_scores.uncertainty_of(of_sealed, sealed)
        rows = sealed_scores.with_sealed(rows, list(of_sealed), sealed_uncertainty)
        on_sealed = sealed_scores.sealed_differences(differences, sealed_uncertainty)
        seal = opened or sealed_scores.opened_now(
            sealed, [row.name for row in rows if row.name in of_sealed]
        )
    return Results(
        written=time.strftime("%Y-%m-%d", time.gmtime()),
        corpus=CorpusRecord.model_validate(corpus.record()),
        bases=[_base_result(each) for each in study.bases],
        units=TextUnitsResult(
            kind=units.kind,
            number=len(units.ends),
            needed=MIN_UNITS,
            block_lengths=uncertainty.block_lengths if uncertainty else [],
        ),
        parts=[
            TextPart(name=part.name, chars=part.end - part.start, bytes=size)
            for part, size in zip(parts, sizes, strict=True)
        ],
        rows=rows,
        sealed=seal,
        differences=differences,
        sealed_differences=on_sealed,
        pairs=pair_matrix(rows, list(scores), uncertainty),
        contamination=contamination.summarize(
            [each.verbatim_rates for each in measured if each.verbatim_rates],
            study.best_scratch.record.display_name,
            corpus.is_tiny_shakespeare,
        ),
        other_plays=_other_plays(measured, measured_baselines, plays),
        worth=worth(study, corpus, by_name, scores, units, part_ends),
        notes=[*notes_on_length(units), *published_results.notes(rows, corpus.is_tiny_shakespeare)],
        training_notes=notes_on_training(compared),
        word_classes=by_word_class,
        common_word_count=word_classes.COMMON_WORD_COUNT,
        closer_looks=[each.closer_look for each in measured],
        memorization=_memorization(measured, corpus, sample_characters),
        runs=[
            result
            for each in measured
            for result in run_results(each, by_name[each.row.name], units, part_ends)
        ],
        curves={
            each.row.name: curve_of(each.candidate.runs[0])
            for each in measured
            if each.candidate.runs
        },
        surprisal=_surprisal(measured, corpus),
        samples=_samples(measured, corpus),
        sample_settings=sample_settings,
        requirements=requirements(*chosen),
        chosen={run.record.track: run.path.name for run in chosen},
        hub_links={run.record.track: published_url(run) for run in chosen},
    )


def _base_result(groups: BaseGroups) -> BaseResult:
    identity = groups.base.identity
    return BaseResult(
        identity=identity,
        parameters=groups.groups[0].best.record.parameters.total,
        description=describe(identity),
    )


def with_intervals(
    row: ResultRow,
    score: Score | None,
    parts: Sequence[Part],
    part_ends: Sequence[int],
    uncertainty: Uncertainty | None,
) -> ResultRow:
    """Return `row` with its interval, and with its scores on the parts of the test split.

    `score` is the mean of its runs.  Rows without one, which have no probabilities of bytes, are
    returned as they are.
    """
    if score is None:
        return row
    by_play = {}
    nats = nats_by_range(score, np.array(part_ends))
    for index, part in enumerate(parts):
        if uncertainty and uncertainty.has_interval(index):
            # Of the same text as its interval: of the units that end in this part.
            estimate = uncertainty.score(row.name, index)
            by_play[part.name] = PartScore(bits_per_byte=estimate.value, ci95=interval(estimate))
            continue
        size = part_ends[index] - (part_ends[index - 1] if index else 0)
        bits = float(nats[index]) / math.log(2)
        by_play[part.name] = PartScore(bits_per_byte=bits / size, ci95=None)
    ci95 = interval(uncertainty.score(row.name)) if uncertainty else None
    return row.model_copy(update={"ci95": ci95, "by_play": by_play})


def notes_on_length(units: TextUnits) -> list[str]:
    """Return a note if the test split is too short for intervals, or so short that they may err."""
    if len(units.ends) >= FEW_UNITS:
        return []
    if units.enough:
        return [
            f"The test split is short: {units} ({units.kind}). With fewer than {FEW_UNITS}, "
            "intervals can be too narrow: in simulations with 35 units, whose neighbors depended "
            "strongly on each other, 95% intervals contained the truth in 82% of cases."
        ]
    return [
        f"The test split is too short for intervals: {units} ({units.kind}), but {MIN_UNITS} are "
        "needed. No difference is claimed."
    ]


def notes_on_training(compared: Sequence[Candidate]) -> list[str]:
    """Return notes on the rows whose runs learned from more than the training split's text."""
    notes = []
    for candidate in compared:
        if not candidate.runs:
            continue
        record = candidate.runs[0].record
        if teachers := record.teachers_sha256:
            several = len(candidate.runs) > 1  # each has as many teachers, but not the same
            notes.append(
                f"{'Each run of ' if several else ''}{candidate.name} was distilled from "
                f"{counted(len(teachers), 'other model')} trained from scratch on the same split. "
                "That training is not part of its cost. Its seconds include the time for the "
                "predictions to learn from; its FLOPs do not."
            )
            learned_from = [set(run.record.teachers_sha256) for run in candidate.runs]
            if sum(map(len, learned_from)) > len(set().union(*learned_from)):
                notes.append(
                    f"The runs of {candidate.name} share teachers, so they vary less than "
                    "independent runs would, and its intervals are too narrow."
                )
        if record.config.get("drills"):
            notes.append(
                f"{candidate.name} was also trained on copying exercises: rows of repeated random "
                "tokens. Its seconds include these rows; its FLOPs do not."
            )
        if record.config.get("rename"):
            notes.append(
                f"In some of the blocks that {candidate.name} was trained on, the speakers (if the "
                "text has any) were given invented names."
            )
    return notes


def _other_plays(
    measured: Sequence[Measured], measured_baselines: Baselines, plays: Mapping[str, str]
) -> OtherPlays | None:
    """Summarize the scores on the plays that are in no split."""
    scores = [each.play_scores for each in measured if each.play_scores]
    if plays:
        nats = {
            title: measured_baselines.ngram.score(text).nats.sum() for title, text in plays.items()
        }
        scores.append(other_plays.score_n_gram(measured_baselines.ngram_name, nats, plays))
    return other_plays.summarize(scores)


def _memorization(measured: Sequence[Measured], corpus: Corpus, length: int) -> list[Memorization]:
    """Measure memorization in each model's samples, and for reference in as much real text.

    `length` is that of a sample, in characters.
    """
    excerpts = len(sampling.prompts(corpus))
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
