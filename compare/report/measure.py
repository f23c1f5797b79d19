"""All that is measured of one row: scores of every run, and a closer look at the best one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import evaluate
import numpy as np

from compare.corpus import Corpus
from compare.corpus.encoding import token_ids
from compare.report import contexts as context_lengths
from compare.report import costs
from compare.report.rows import Row
from compare.ruler import bootstrap, sampling, scoring
from compare.ruler.scoring import Score
from compare.runs import models

METRIC = Path(__file__).parents[1] / "ruler" / "bits_per_byte"
SLICE = 4000  # characters
# Long enough for 10-word sequences to be counted; the report shows the beginning.
SETTINGS = sampling.Settings(characters=1000)


@dataclass(frozen=True)
class Measured:
    """A row of the report, and what stands behind it."""

    entry: dict[str, Any]
    scores: list[Score]  # of the test split, by each of the row's runs
    slices: list[Score]  # of its beginning, for whoever wants to check a copy of the model quickly
    strides: dict[str, float]  # these and the following are of the run best on validation
    contexts: list[dict[str, float | int]]
    texts: list[str]


def measure(row: Row, corpus: Corpus) -> Measured:
    """Score every run of `row` on the test split; look closer at the one best on validation."""
    loaded = [models.load(folder) for folder in row.folders]
    last_tenth = corpus.validation + corpus.test
    scores = [scoring.score(*pair, corpus.test, label=row.name) for pair in loaded]
    nanogpt = [scoring.score(*pair, last_tenth, label=f"{row.name}, val") for pair in loaded]
    bits = [score.metrics.bits_per_byte for score in scores]
    model, tokenizer = loaded[0]
    entry = {
        "name": row.name,
        "track": row.runs[0].record.track,
        "kind": row.kind,
        "run": row.runs[0].path.name,
        "seeds": len(row.runs) if row.trained else None,
        "parameters": model.num_parameters(),
        "split": "test",
        **_metric(bootstrap.mean(scores)),
        "bits_per_byte_sd": float(np.std(bits, ddof=1)) if len(bits) > 1 else None,
        # nanoGPT's `val` is the last 10 %: our validation and test together.
        "nanogpt_val_nats_per_char": bootstrap.mean(nanogpt).metrics.nats_per_char,
        **_costs(row, [model for model, _ in loaded], len(token_ids(tokenizer, corpus.train))),
    }
    prompts = sampling.prompts(corpus)
    return Measured(
        entry,
        scores,
        [scoring.score(*pair, corpus.test[:SLICE]) for pair in loaded],
        context_lengths.by_stride(model, tokenizer, corpus.test, scores[0]),
        context_lengths.by_length(model, tokenizer, corpus.test, scores[0]),
        [sampling.sample(model, tokenizer, prompt, SETTINGS) for prompt in prompts],
    )


def _metric(score: Score) -> dict[str, float | int]:
    spans = np.diff(score.byte_ends, prepend=0)
    metric = evaluate.load(str(METRIC))
    return metric.compute(nats=score.nats.tolist(), bytes=spans.tolist(), text=score.text)


def _costs(row: Row, loaded: list[Any], epoch_tokens: int) -> dict[str, float | int]:
    """Of the study's own training, which for an untouched base is none."""
    if not row.trained:
        return dict.fromkeys(costs.COSTS, 0)
    return costs.costs([run.record for run in row.runs], loaded, epoch_tokens)
