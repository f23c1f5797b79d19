"""All that is measured of one row: scores of every run, and a closer look at the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
from transformers import PreTrainedModel

from compare.corpus import Corpus
from compare.corpus.encoding import token_ids
from compare.kinds import RowKind
from compare.report import contexts, other_plays
from compare.report.candidates import Candidate
from compare.report.costs import UNTRAINED, Costs, costs
from compare.report.other_plays import PlayScores
from compare.report.results import CloserLook, ResultRow
from compare.ruler import sampling, scoring
from compare.ruler.intervals import mean_score
from compare.ruler.scoring import Score
from compare.runs.kept import KeptModel

METRIC = Path(__file__).parents[1] / "ruler" / "bits_per_byte"
SLICE = 4000  # characters
# Long enough for 10-word sequences to be counted; the report shows the beginning.
SETTINGS = sampling.Settings(characters=1000)


@dataclass(frozen=True)
class Measured:
    """A row of the report, and what stands behind it."""

    candidate: Candidate
    row: ResultRow
    scores: list[Score]
    """Of the test split, by each of the row's runs."""
    slices: list[Score]
    """Of the test split's beginning, for a quick check of a copy of the model."""
    closer_look: CloserLook
    """At the run that is best on validation."""
    texts: list[str]
    """What that run makes of each prompt."""
    sealed_scores: list[Score]
    """Of the sealed text, by each of the row's runs.  Empty unless it was opened."""
    play_scores: PlayScores | None
    """Of the plays that are in no split.  None if they are no fair test of this row."""


def measure(
    candidate: Candidate, corpus: Corpus, sealed: str | None, plays: Mapping[str, str]
) -> Measured:
    """Score every run of `candidate` on the test split; look closer at the best on validation.

    If the text `sealed` is given, score it, too, and likewise the other `plays`, by title.
    """
    loaded = [KeptModel(folder) for folder in candidate.folders]
    last_tenth = corpus.validation + corpus.test
    scores = [each.score(corpus.test, label=candidate.name) for each in loaded]
    nanogpt = [each.score(last_tenth, label=f"{candidate.name}, val") for each in loaded]
    bits = [score.metrics.bits_per_byte for score in scores]
    best = loaded[0]
    epoch_tokens = len(token_ids(best.tokenizer, corpus.train))
    row = ResultRow(
        name=candidate.name,
        track=candidate.track,
        kind=candidate.kind,
        run=candidate.runs[0].path.name if candidate.runs else None,
        seeds=len(candidate.runs) or None,
        parameters=best.model.num_parameters(),
        **_metric(mean_score(scores)),
        bits_per_byte_sd=float(np.std(bits, ddof=1)) if len(bits) > 1 else None,
        nanogpt_val_nats_per_char=mean_score(nanogpt).metrics.nats_per_char,
        **asdict(_costs(candidate, [each.model for each in loaded], epoch_tokens)),
    )
    closer_look = CloserLook(
        name=candidate.name,
        stride=contexts.by_stride(best, corpus.test, scores[0]),
        context=contexts.by_length(best, corpus.test, scores[0]),
    )
    return Measured(
        candidate,
        row,
        scores,
        [each.score(corpus.test[:SLICE]) for each in loaded],
        closer_look,
        [best.sample(prompt, SETTINGS) for prompt in sampling.prompts(corpus)],
        # Not kept, so that no score of the sealed text lies around.
        [
            scoring.score(each.model, each.tokenizer, sealed, label="sealed")
            for each in loaded
            if sealed
        ],
        _play_scores(candidate, loaded, plays),
    )


def _play_scores(
    candidate: Candidate,
    loaded: Sequence[KeptModel],
    plays: Mapping[str, str],
) -> PlayScores | None:
    if not plays or not other_plays.is_eligible(candidate.base):
        return None
    is_pretrained = candidate.base is not None and candidate.kind is not RowKind.RANDOM_WEIGHTS
    return other_plays.score_models(
        candidate.name, loaded, plays, bool(candidate.runs), is_pretrained
    )


def _metric(score: Score) -> dict[str, Any]:
    """The fields of `Metrics`, computed by the metric that others can load with `evaluate`."""
    spans = np.diff(score.byte_ends, prepend=0)
    metric = evaluate.load(str(METRIC))
    return metric.compute(nats=score.nats.tolist(), bytes=spans.tolist(), text=score.text)


def _costs(candidate: Candidate, loaded: Sequence[PreTrainedModel], epoch_tokens: int) -> Costs:
    """Of the study's own training, of which an untouched base has had none."""
    if not candidate.runs:
        return UNTRAINED
    return costs([run.record for run in candidate.runs], loaded, epoch_tokens)
