"""The training text as token ids: made once, then kept in the cache under the text's hash."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

import numpy as np
import tokenizers
from safetensors import safe_open
from safetensors.numpy import save
from transformers import GPT2Tokenizer

from compare import scoring
from compare.corpus import cache_folder, write_atomically
from scratch_lm.tokenizer import train_tokenizer


def encoded(text: str, vocabulary: int, context_length: int) -> tuple[GPT2Tokenizer, np.ndarray]:
    """A tokenizer trained on `text`, and the token ids of `text` (int64).

    Raises ValueError as `train_tokenizer` does.
    """
    made_from = f"{vocabulary} tokens by tokenizers {tokenizers.__version__}\n{text}"
    name = hashlib.sha256(made_from.encode()).hexdigest()
    path = cache_folder() / "scratch_lm" / f"{name}.safetensors"
    if found := _read(path, text, context_length):
        return found
    tokenizer = train_tokenizer(text, vocabulary, context_length)
    ids, _ = scoring.encode(tokenizer, text)
    bpe = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    metadata = {key: json.dumps(bpe[key]) for key in ("vocab", "merges")}
    with contextlib.suppress(OSError):  # a training can do without
        write_atomically(path, save({"ids": ids.astype(np.int32)}, metadata))
    return tokenizer, ids


def _read(path: Path, text: str, context_length: int) -> tuple[GPT2Tokenizer, np.ndarray] | None:
    """What the cache holds, if it is whole: the ids must spell the text."""
    try:
        with safe_open(path, "np") as file:
            vocab, merges = (json.loads(file.metadata()[key]) for key in ("vocab", "merges"))
            ids = file.get_tensor("ids").astype(np.int64)
        merges = [tuple(merge) for merge in merges]
        tokenizer = GPT2Tokenizer(vocab=vocab, merges=merges, model_max_length=context_length)
        whole = tokenizer.backend_tokenizer.decode(ids) == text
    except Exception:  # no copy, or a spoiled one: it can be made again
        return None
    return (tokenizer, ids) if whole else None
