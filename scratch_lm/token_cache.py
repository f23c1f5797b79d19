"""A cache for the tokenizer and the token ids of a training text, keyed by a hash of the text."""

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

from compare.corpus.encoding import token_ids
from compare.files import cache_folder, write_atomically
from scratch_lm.tokenizer import train_tokenizer


def load_or_train(
    text: str, vocabulary: int, context_length: int
) -> tuple[GPT2Tokenizer, np.ndarray]:
    """Return a tokenizer trained on `text`, and the token ids of `text` as a 1-D integer array.

    Both come from the cache if it holds an intact copy.  A cache that cannot be read or written is
    skipped.

    Raises ValueError if `text` is too short for `vocabulary`, see `train_tokenizer`.
    """
    key = hashlib.sha256(f"{vocabulary} tokens by tokenizers {tokenizers.__version__}\n".encode())
    key.update(text.encode())
    folder = cache_folder()
    path = folder / "scratch_lm" / f"{key.hexdigest()}.safetensors" if folder else None
    if path and (cached := _read(path, context_length)):
        return cached
    tokenizer = train_tokenizer(text, vocabulary, context_length)
    ids = token_ids(tokenizer, text, "tokens")
    if path:
        _write(path, tokenizer, ids)
    return tokenizer, ids


def _write(path: Path, tokenizer: GPT2Tokenizer, ids: np.ndarray) -> None:
    """Write an entry atomically; do nothing if it cannot be written."""
    bpe = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    metadata = {key: json.dumps(bpe[key]) for key in ("vocab", "merges")}
    metadata["sha256"] = _sha256(metadata, ids)
    with contextlib.suppress(OSError):  # training works without a cache
        write_atomically(path, save({"ids": ids}, metadata))


def _sha256(metadata: dict[str, str], ids: np.ndarray) -> str:
    """Return the SHA-256 of an entry."""
    digest = hashlib.sha256((metadata["vocab"] + metadata["merges"]).encode())
    digest.update(ids.data)
    return digest.hexdigest()


def _read(path: Path, context_length: int) -> tuple[GPT2Tokenizer, np.ndarray] | None:
    """Return the cached tokenizer and ids, or None if the file is missing or damaged."""
    try:
        with safe_open(path, "np") as file:
            metadata, ids = file.metadata(), file.get_tensor("ids")
        vocab, merges = (json.loads(metadata[key]) for key in ("vocab", "merges"))
        merges = [tuple(merge) for merge in merges]
        tokenizer = GPT2Tokenizer(vocab=vocab, merges=merges, model_max_length=context_length)
        intact = metadata["sha256"] == _sha256(metadata, ids)
    except Exception:  # damage can raise almost anything, and the entry can be recomputed
        return None
    return (tokenizer, ids) if intact else None
