"""A GPT-2 byte-level BPE tokenizer, trained on the training split alone.

GPT-2's own vocabulary would cost 50,257 x 128 = 6.4 M parameters at width 128; 4,096 tokens learnt
from the text itself cost 0.5 M.  All 256 bytes are among them, so any text can be encoded.
"""

from __future__ import annotations

from transformers import GPT2Tokenizer

from compare.corpus.encoding import pieces


def train_tokenizer(text: str, vocabulary: int, context_length: int) -> GPT2Tokenizer:
    """A tokenizer of `vocabulary` tokens: end of text, 256 bytes, and merges learnt from `text`.

    Raises ValueError when `text` does not hold that many different merges.
    """
    empty = GPT2Tokenizer(vocab={"<|endoftext|>": 0}, merges=[], model_max_length=context_length)
    tokenizer = empty.train_new_from_iterator(pieces(text), vocabulary, show_progress=False)
    if len(tokenizer) < vocabulary:
        raise ValueError(
            f"the training split gives only {len(tokenizer)} tokens: "
            f"lower --vocabulary from {vocabulary}"
        )
    return tokenizer
