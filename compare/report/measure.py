"""All that is measured of one row: scores of every run, and a closer look at the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
from transformers import PreTrainedModel

from compare.corpus import Corpus
from compare.kinds import BaseKind, ContaminationText, RowKind
from compare.report import contamination, contexts, large, other_plays
from compare.report.candidates import Candidate
from compare.report.costs import UNTRAINED, Costs, costs
from compare.report.other_plays import PlayScores
from compare.report.results import CloserLook, ResultRow, VerbatimRates
from compare.ruler import sampling, scoring
from compare.ruler.scoring import Score, mean_score
from compare.runs.kept import KeptModel

METRIC = Path(__file__).parents[1] / "ruler" / "bits_per_byte"
SLICE = 4000  # characters


@dataclass(frozen=True)
class Measured:
    """A row of the report, and what stands behind it."""

    candidate: Candidate
    row: ResultRow
    scores: list[Score]
    """Scores of the test split, one for each of the row's runs."""
    slices: list[Score]
    """Scores of the beginning of the test split, to check an uploaded copy quickly."""
    closer_look: CloserLook
    """A closer look at the run that is best on validation."""
    texts: list[str]
    """That run's continuation of each prompt."""
    verbatim_rates: VerbatimRates | None
    """How often that run, or the base, repeats text word for word.  None if it was fine-tuned on
    the text, or if that cannot be measured."""
    sealed_scores: list[Score]
    """Scores of the sealed text, one for each run.  Empty unless it was opened."""
    play_scores: PlayScores | None
    """Scores of the plays that are in no split.  None if they are no fair test of this row."""


def measure(
    candidate: Candidate,
    corpus: Corpus,
    sample_settings: sampling.Settings,
    texts_to_repeat: Mapping[ContaminationText, str],
    sealed: str | None,
    plays: Mapping[str, str],
) -> Measured:
    """Score every run of `candidate` on the test split; look closer at the best on validation.

    If the text `sealed` is given, score it, too, and likewise the other `plays`, by title.
    """
    # The checksums of runs have just been compared with the files, by `candidates`.
    known = [run.record.model_sha256 for run in candidate.runs]
    loaded = [
        KeptModel(folder, checksums) for folder, checksums in zip_longest(candidate.folders, known)
    ]
    scores = [each.score(corpus.test, label=candidate.name) for each in loaded]
    bits = [score.metrics.bits_per_byte for score in scores]
    best = loaded[0]
    parameters = best.model.num_parameters()
    epoch_tokens = best.count_tokens(corpus.train)
    row = ResultRow(
        name=candidate.name,
        track=candidate.track,
        kind=candidate.kind,
        base=candidate.base.resolved if candidate.base else None,
        run=candidate.runs[0].path.name if candidate.runs else None,
        seeds=len(candidate.runs) or None,
        parameters=parameters,
        trained_parameters=(
            candidate.runs[0].record.parameters.trained if candidate.runs else None
        ),
        **_metric(mean_score(scores)),
        bits_per_byte_sd=float(np.std(bits, ddof=1)) if len(bits) > 1 else None,
        nanogpt_val_nats_per_char=_nanogpt_val(candidate, loaded, corpus),
        **asdict(_costs(candidate, [each.model for each in loaded], epoch_tokens)),
    )
    return Measured(
        candidate=candidate,
        row=row,
        scores=scores,
        slices=[each.score(corpus.test[:SLICE]) for each in loaded],
        closer_look=_closer_look(candidate.name, best, corpus.test, scores[0]),
        texts=[best.sample(prompt, sample_settings) for prompt in sampling.prompts(corpus)],
        verbatim_rates=contamination.measure_rates(candidate, best, texts_to_repeat),
        # Not kept, so that no score of the sealed text lies around.
        sealed_scores=[
            scoring.score(each.model, each.tokenizer, sealed, label="sealed")
            for each in loaded
            if sealed
        ],
        play_scores=_play_scores(candidate, loaded, plays),
    )


def _nanogpt_val(candidate: Candidate, loaded: Sequence[KeptModel], corpus: Corpus) -> float | None:
    """Return the nats per character on nanoGPT's `val`, the mean over the runs.

    Of large models, only GPT-2 has published results to compare with.
    """
    is_gpt2 = candidate.base is not None and candidate.base.kind is BaseKind.GPT2
    if large.is_large(loaded[0].model.num_parameters()) and not is_gpt2:
        return None
    text, label = corpus.validation + corpus.test, f"{candidate.name}, val"
    return mean_score([each.score(text, label=label) for each in loaded]).metrics.nats_per_char


def _closer_look(name: str, model: KeptModel, text: str, usual: Score) -> CloserLook:
    """Score `text`, or the beginning of it with a large model, in other ways.

    `usual` is the model's score of the whole text.
    """
    if large.is_large(model.model.num_parameters()):
        text = text[: large.CLOSER_LOOK_CHARACTERS]
        usual = model.score(text, label=f"{name}, closer look")
    return CloserLook(
        name=name,
        characters=len(text),
        stride=contexts.by_stride(model, text, usual),
        context=contexts.by_length(model, text, usual),
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
    """Return the fields of `Metrics`, computed by the metric that `evaluate` can load anywhere."""
    spans = np.diff(score.byte_ends, prepend=0)
    metric = evaluate.load(str(METRIC))
    return metric.compute(nats=score.nats.tolist(), bytes=spans.tolist(), text=score.text)


def _costs(candidate: Candidate, loaded: Sequence[PreTrainedModel], epoch_tokens: int) -> Costs:
    """Return the costs of the study's own training: none for an untouched base."""
    if not candidate.runs:
        return UNTRAINED
    return costs([run.record for run in candidate.runs], loaded, epoch_tokens)
