"""The training split as the Trainer wants it: rows of one length."""

from __future__ import annotations

import datasets
import numpy as np
from transformers import PreTrainedTokenizerBase

from compare import encoding, scoring
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
    ids = encoding.token_ids(tokenizer, corpus.train, "tokens")
    rows = blocks(ids, context_length, scoring.start_token(tokenizer))

    def cut(batch: dict[str, list[int]]) -> dict[str, np.ndarray]:
        places = np.array(batch["row"])
        inputs, targets = rows[places % len(rows)]
        targets[places >= len(rows)] = IGNORED
        # `shift_labels` are taken as they are; `labels` alone would be shifted once more by the
        # model, which leaves out the first token of every block.
        return {"input_ids": inputs, "labels": targets, "shift_labels": targets}

    places = range(len(rows) + -len(rows) % multiple)
    return datasets.Dataset.from_dict({"row": places}).with_transform(cut), len(ids)
