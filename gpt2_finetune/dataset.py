"""The training split as the Trainer wants it: a Dataset, and what makes a batch of its rows."""

from __future__ import annotations

from collections.abc import Callable

import datasets
import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from compare.corpus import Corpus, encoding
from compare.corpus.blocks import IGNORED, blocks
from compare.ruler import scoring

Collator = Callable[[list[dict[str, int]]], dict[str, torch.Tensor]]


def dataset(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, context_length: int, multiple: int
) -> tuple[datasets.Dataset, Collator, int]:
    """Numbers of rows, what cuts a batch of them out of the text, and how many tokens that has.

    A batch's `input_ids` and targets are (rows, `context_length`) int64.  Rows without targets fill
    up to a `multiple`: with the rows of a step, each step is whole, and processes that share it
    have as many rows each.  Raises ValueError for a text too short, LossyTokenizer for one that
    the tokenizer does not give back.
    """
    scoring.require_window(tokenizer, corpus.validation, context_length)
    ids = encoding.token_ids(tokenizer, corpus.train, "tokens")
    rows = blocks(ids, context_length, scoring.start_token(tokenizer))

    # Not the Dataset's own transform: it would pickle the whole text for its fingerprint.
    def cut(batch: list[dict[str, int]]) -> dict[str, torch.Tensor]:
        places = np.array([row["row"] for row in batch])
        inputs, targets = map(torch.from_numpy, rows[places % len(rows)])
        targets[places >= len(rows)] = IGNORED
        # `shift_labels` are taken as they are; `labels` alone would be shifted once more by the
        # model, which leaves out the first token of every block.
        return {"input_ids": inputs, "labels": targets, "shift_labels": targets}

    numbers = np.arange(len(rows) + -len(rows) % multiple)
    return datasets.Dataset.from_dict({"row": numbers}), cut, len(ids)
