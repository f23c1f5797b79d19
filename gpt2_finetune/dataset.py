"""The training split as the Trainer wants it: rows of one length."""

from __future__ import annotations

import datasets
import numpy as np
from transformers import PreTrainedTokenizerBase

from compare import scoring
from compare.blocks import IGNORED, blocks
from compare.corpus import Corpus


def dataset(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, context_length: int, multiple: int
) -> tuple[datasets.Dataset, int]:
    """Rows of `context_length` tokens and their targets, and how many tokens the split has.

    Rows without targets fill up to a `multiple`: with the rows of a step, each step is whole, and
    processes that share it have as many rows each.  Raises ValueError for a text too short, or of
    characters that the tokenizer does not know.
    """
    scoring.require_window(tokenizer, corpus.validation, context_length)
    ids, _ = scoring.encode(tokenizer, corpus.train)
    inputs, targets = blocks(ids, context_length, scoring.start_token(tokenizer))
    empty = -len(inputs) % multiple
    inputs = np.pad(inputs, ((0, empty), (0, 0)))
    targets = np.pad(targets, ((0, empty), (0, 0)), constant_values=IGNORED)
    # `shift_labels` are taken as they are; `labels` alone would be shifted once more by the model,
    # which leaves out the first token of every block.
    columns = {"input_ids": inputs, "labels": targets, "shift_labels": targets}
    return datasets.Dataset.from_dict(columns).with_format("torch"), len(ids)
