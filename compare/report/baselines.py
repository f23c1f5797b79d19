"""The baseline rows: uniform bytes, compressors and a frozen n-gram model."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from tqdm.auto import tqdm

from compare.corpus import Corpus
from compare.kinds import RowKind
from compare.report.compressors import COMPRESSORS, bits_per_byte
from compare.report.ngram import KeptNGram
from compare.report.results import BASELINE, ResultRow
from compare.ruler.metrics import metrics_of


@dataclass(frozen=True)
class Baselines:
    """The baseline rows, and what gives the probabilities of bytes that intervals need."""

    rows: list[ResultRow]
    ngram: KeptNGram
    ngram_name: str
    """The name of its row; the other rows have no probabilities of bytes."""


def baselines(corpus: Corpus) -> Baselines:
    """Measure the baselines on the test split."""
    nanogpt_val = corpus.validation + corpus.test
    bits = {"Uniform bytes": (8.0, 8.0)}
    for name in tqdm(COMPRESSORS, "compressors", leave=False, disable=None):
        bits[name] = (
            bits_per_byte(name, corpus.train, corpus.test),
            bits_per_byte(name, corpus.train, nanogpt_val),
        )
    rows = [
        _row(
            name,
            RowKind.ADAPTIVE if name in COMPRESSORS else RowKind.UNIFORM,
            test_bits * math.log(2) * len(corpus.test.encode()),
            corpus,
            both_bits * math.log(2) * len(nanogpt_val.encode()),
        )
        for name, (test_bits, both_bits) in bits.items()
    ]
    ngram = KeptNGram(corpus.train, corpus.validation)
    name = f"{ngram.order}-gram Kneser-Ney"
    test, both = ngram.score(corpus.test), ngram.score(nanogpt_val)
    rows.append(_row(name, RowKind.N_GRAM, test.nats.sum(), corpus, both.nats.sum()))
    return Baselines(rows, ngram, name)


def _row(
    name: str, kind: RowKind, nats: float, corpus: Corpus, nanogpt_val_nats: float
) -> ResultRow:
    metrics = asdict(metrics_of(float(nats), len(corpus.test.encode()), corpus.test))
    return ResultRow(
        name=name,
        track=BASELINE,
        kind=kind,
        **metrics | {"token_perplexity": None},  # it has no tokens
        nanogpt_val_nats_per_char=float(nanogpt_val_nats) / len(corpus.validation + corpus.test),
        trained_characters=0 if kind is RowKind.UNIFORM else len(corpus.train),
    )
