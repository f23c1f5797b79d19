"""A GPT-2 byte-level BPE tokenizer, trained on the training split alone.

GPT-2's own vocabulary would cost 50,257 x 128 = 6.4 M parameters at width 128; 4,096 tokens trained
on the text itself cost 0.5 M.  They include all 256 bytes, so any text can be encoded.
"""

from __future__ import annotations

from transformers import GPT2Tokenizer

from compare.corpus.encoding import pieces


def train_tokenizer(text: str, vocabulary: int, context_length: int) -> GPT2Tokenizer:
    """Train a tokenizer of `vocabulary` tokens: end of text, 256 bytes, and merges from `text`.

    `context_length` becomes the tokenizer's `model_max_length`.  Raises ValueError if `text` does
    not yield enough merges.
    """
    empty = GPT2Tokenizer(vocab={"<|endoftext|>": 0}, merges=[], model_max_length=context_length)
    tokenizer = empty.train_new_from_iterator(pieces(text), vocabulary, show_progress=False)
    if len(tokenizer) < vocabulary:
        raise ValueError(
            f"the training split yields only {len(tokenizer)} tokens: "
            f"lower --vocabulary from {vocabulary}"
        )
    return tokenizer
