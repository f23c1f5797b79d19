"""The training split in the form that the Trainer expects: a Dataset and a data collator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import datasets
import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from compare.corpus import Corpus, encoding
from compare.corpus.blocks import IGNORED, blocks, require_one_block
from compare.ruler import scoring

Collator = Callable[[list[dict[str, int]]], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class TrainingData:
    """The training split for the Trainer."""

    dataset: datasets.Dataset
    """Row indices; their number is a multiple of the rows per step."""
    collate: Collator
    """Turns row indices into a batch: `input_ids`, `labels` and `shift_labels`, each (rows, context
    length) int64."""
    tokens: int
    """Number of tokens of the text."""
    rows: int
    """Number of rows of the text, without those that complete the last step."""


def make_dataset(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    context_length: int,
    rows_per_step: int,
) -> TrainingData:
    """Tokenize the training split and cut it into rows.

    The number of rows is padded to a multiple of `rows_per_step` with rows whose targets are all
    ignored, so that every step is complete, and all processes get the same number of rows.

    Raises ValueError if the text is too short, and UnusableTokenizer if the tokenizer cannot
    reproduce it.
    """
    shorter = "a base with a shorter context"  # the context is the base's, and no option
    scoring.require_one_window(tokenizer, corpus.validation, context_length, shorter)
    ids = encoding.token_ids(tokenizer, corpus.train, "tokens")
    require_one_block(len(ids), context_length, shorter)
    rows = blocks(ids, context_length, scoring.start_token(tokenizer))

    # A transform of the Dataset itself would pickle the whole text to compute its fingerprint.
    def collate(batch: list[dict[str, int]]) -> dict[str, torch.Tensor]:
        indices = np.array([row["row"] for row in batch])
        inputs, targets = map(torch.from_numpy, rows[indices % len(rows)])
        targets[indices >= len(rows)] = IGNORED
        # The model uses `shift_labels` unchanged.  It would shift `labels` once more, and lose the
        # first token of every block.
        return {"input_ids": inputs, "labels": targets, "shift_labels": targets}

    indices = np.arange(len(rows) + -len(rows) % rows_per_step)
    dataset = datasets.Dataset.from_dict({"row": indices})
    return TrainingData(dataset, collate, len(ids), len(rows))
