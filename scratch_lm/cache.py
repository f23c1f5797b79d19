"""The training text as token ids: made once, then kept in the cache under the text's hash."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import tokenizers
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from transformers import GPT2Tokenizer

from compare.corpus.encoding import token_ids
from compare.files import cache_folder
from scratch_lm.tokenizer import train_tokenizer


def encoded(text: str, vocabulary: int, context_length: int) -> tuple[GPT2Tokenizer, np.ndarray]:
    """A tokenizer trained on `text`, and the token ids of `text`.

    Raises ValueError as `train_tokenizer` does.
    """
    name = hashlib.sha256(f"{vocabulary} tokens by tokenizers {tokenizers.__version__}\n".encode())
    name.update(text.encode())
    folder = cache_folder()
    path = folder / "scratch_lm" / f"{name.hexdigest()}.safetensors" if folder else None
    if path and (found := _read(path, context_length)):
        return found
    tokenizer = train_tokenizer(text, vocabulary, context_length)
    ids = token_ids(tokenizer, text, "tokens")
    if path:
        _write(path, tokenizer, ids)
    return tokenizer, ids


def _write(path: Path, tokenizer: GPT2Tokenizer, ids: np.ndarray) -> None:
    bpe = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    metadata = {key: json.dumps(bpe[key]) for key in ("vocab", "merges")}
    metadata["sha256"] = _digest(metadata, ids)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError, SafetensorError):  # a training can do without
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"ids": ids}, new, metadata)
        new.replace(path)
    with contextlib.suppress(OSError):
        new.unlink(missing_ok=True)


def _digest(metadata: dict[str, str], ids: np.ndarray) -> str:
    digest = hashlib.sha256((metadata["vocab"] + metadata["merges"]).encode())
    digest.update(ids.data)
    return digest.hexdigest()


def _read(path: Path, context_length: int) -> tuple[GPT2Tokenizer, np.ndarray] | None:
    """What the cache holds, if it is whole."""
    try:
        with safe_open(path, "np") as file:
            metadata, ids = file.metadata(), file.get_tensor("ids")
        vocab, merges = (json.loads(metadata[key]) for key in ("vocab", "merges"))
        merges = [tuple(merge) for merge in merges]
        tokenizer = GPT2Tokenizer(vocab=vocab, merges=merges, model_max_length=context_length)
        whole = metadata["sha256"] == _digest(metadata, ids)
    except Exception:  # no copy, or a spoiled one: it can be made again
        return None
    return (tokenizer, ids) if whole else None
