"""All results of the comparison, measured and put together.

Every number that the pages show is in them; `compare.report.pages` writes the pages from nothing
else.  This is the only reader of the test split.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from compare.corpus import Corpus
from compare.files import hold_lock
from compare.report import pages, published_results, surprisal, word_classes
from compare.report.baselines import floors
from compare.report.claims import differences
from compare.report.course_checklist import requirements
from compare.report.measure import SETTINGS, Measured, measure
from compare.report.memorization import copied, recital
from compare.report.rows import Row, rows
from compare.ruler import bootstrap, sampling
from compare.ruler.scoring import Score
from compare.runs import find
from compare.runs.find import CompleteRun
from compare.runs.receipt import published
from compare.runs.writer import ROOT

# What report.json has of each run's record.
KEPT_OF_RUNS = (
    "track",
    "preset",
    "seed",
    "command",
    "config",
    "parameters",
    "device",
    "versions",
    "git_commit",
    "git_dirty",
    "started",
    "epochs",
    "best_epoch",
    "wall_seconds",
    "characters_per_second",
    "peak_memory_mb",
    "tracking",
)


def report() -> None:
    """Score the newest runs of both tracks and write `reports/`."""
    lock = hold_lock(ROOT / ".report.lock", str(pages.REPORTS))
    scratch, gpt2 = find.study()
    chosen = find.chosen(scratch, gpt2)
    compared = rows(scratch, gpt2)
    corpus = find.corpus_of(gpt2[0][0])
    table, scores = floors(corpus)
    bar = tqdm(compared, "models", leave=False, disable=None)
    measured = {row.name: measure(row, corpus) for row in bar}
    table += [each.entry for each in measured.values()]
    scores = {name: [score] for name, score in scores.items()}
    scores |= {name: each.scores for name, each in measured.items()}
    blocks, draws = bootstrap.cut(corpus.test), bootstrap.bootstrap(scores)
    for entry in table:
        entry["ci95"] = bootstrap.interval(draws.get(entry["name"]))
    means = {name: bootstrap.mean(each) for name, each in scores.items()}
    by_kind = word_classes.by_kind(means, corpus.test, corpus.train)
    table.sort(key=lambda entry: entry["bits_per_byte"])
    result = {
        "written": time.strftime("%Y-%m-%d", time.gmtime()),
        "corpus": corpus.record(),
        "blocks": blocks.record(),
        "rows": table,
        "differences": differences(table, draws, by_kind, chosen[0].record.preset, blocks),
        "notes": [
            *bootstrap.notes(blocks),
            *published_results.notes(table, corpus.name),
            *taught(compared),
        ],
        "kinds": by_kind,
        "closer": [
            {"name": name, "stride": each.strides, "context": each.contexts}
            for name, each in measured.items()
        ],
        "recital": _recital(measured, corpus),
        "runs": [
            _run(run, row.name, *scored)
            for row, each in zip(compared, measured.values(), strict=True)
            if row.trained
            for run, *scored in zip(row.runs, each.scores, each.slices, strict=True)
        ],
        "curves": {row.name: _curve(row.runs[0]) for row in compared if row.trained},
        "surprise": _surprise(measured, corpus),
        "samples": _samples(measured, corpus),
        "sample_settings": vars(SETTINGS),
        "common": word_classes.COMMON,
        "requirements": requirements(*chosen),
        "chosen": {run.record.track: run.path.name for run in chosen},
        "hub_links": {run.record.track: published(run) for run in chosen},
    }
    pages.write(result)
    lock.release()
    print(f"written: {pages.REPORTS}; open {pages.REPORTS / 'report.html'}")


def taught(rows: list[Row]) -> list[str]:
    """Sentences on the rows whose runs learned from more than the training split's text."""
    notes = []
    for row in rows:
        record = row.runs[0].record
        if row.trained and (teachers := record.teachers_sha256):
            notes.append(
                f"{row.name} learned from the training split and from what {len(teachers)} models "
                "of this track, trained on the same split, expect there: their own training is not "
                "in its cost."
            )
        if row.trained and record.config.get("drills"):
            notes.append(
                f"{row.name} learned to copy from rows of random tokens, too: they are in its "
                "seconds, not in its operations."
            )
    return notes


def _recital(measured: Mapping[str, Measured], corpus: Corpus) -> list[dict[str, Any]]:
    """Of each model's samples, and of as much real text of the test split, in as many pieces."""
    pieces, length = len(sampling.prompts(corpus)), SETTINGS.characters
    starts = np.linspace(0, max(0, len(corpus.test) - length), pieces, dtype=int)
    texts = {"real text of the test split": [corpus.test[at : at + length] for at in starts]}
    texts |= {name: each.texts for name, each in measured.items()}
    return [{"name": name, **recital(each, corpus.train)} for name, each in texts.items()]


def _surprise(measured: Mapping[str, Measured], corpus: Corpus) -> dict[str, Any]:
    start, end = surprisal.passage(corpus.test)
    models = {
        name: surprisal.by_token(each.scores[0], start, end) for name, each in measured.items()
    }
    return {"characters": end - start, "models": models}


def _samples(measured: Mapping[str, Measured], corpus: Corpus) -> list[dict[str, Any]]:
    return [
        {
            "prompt": prompt,
            "texts": {name: each.texts[at] for name, each in measured.items()},
            "copied": {n: copied(each.texts[at], corpus.train) for n, each in measured.items()},
        }
        for at, prompt in enumerate(sampling.prompts(corpus))
    ]


def _run(run: CompleteRun, name: str, test: Score, test_slice: Score) -> dict[str, Any]:
    """The record of a run, with what it alone needs for the test split."""
    everything = run.record.model_dump(exclude_none=True)
    kept = {key: everything.get(key) for key in KEPT_OF_RUNS}
    kept["teachers"] = len(run.record.teachers_sha256)
    if run.record.base:
        kept["base"] = run.record.base.model_dump(exclude={"folder"})
        kept["zero_shot"] = everything["zero_shot"]
    interval = bootstrap.interval(bootstrap.bootstrap({name: [test]}).get(name))
    scores = {
        "test": asdict(test.metrics) | {"ci95": interval},
        "test_slice": asdict(test_slice.metrics),
    }
    return {"name": name, "run": run.path.name, **kept, **scores}


def _curve(run: CompleteRun) -> list[dict[str, Any]]:
    """History in bits per byte; training nats per token by the validation text's ratio."""
    scores = run.record.epochs[0].eval
    per_nat = scores.bits_per_byte / scores.loss
    return [
        {
            "characters_seen": line["characters_seen"],
            **({"train": line["train/loss"] * per_nat} if "train/loss" in line else {}),
            **({"validation": line["eval/bits_per_byte"]} if "eval/loss" in line else {}),
        }
        for line in run.history
    ]
