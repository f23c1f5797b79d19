"""GGUF files as bases: each is converted once to a model directory in the cache.

A GGUF file can store weights in blocks of few bits, which cannot be trained.  The directory, in the
layout of `save_pretrained`, holds them in fp32 with the tokenizer.  It takes more than five times
the space of a 4-bit file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from huggingface_hub import ModelCardData
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
from transformers.utils import logging

from compare import files
from compare.errors import Failure, Misuse


def find(path: Path) -> Path | None:
    """Return `path` if it is a file, or the GGUF file in it if it is a directory with one.

    Returns None for anything else, and for a directory with a config.json, which is a model
    directory.  Raises Misuse if a directory has several GGUF files.
    """
    if path.is_file():
        return path
    if not path.is_dir() or (path / "config.json").exists():
        return None
    found = sorted(path.glob("*.gguf"))
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise Misuse(
            f"--base {path} has several GGUF files ({names}): give the path of one of them"
        )
    return found[0] if found else None


def converted(file: Path, digest: str | None = None) -> Path:
    """Return the directory with the converted `file`, after converting it if necessary.

    It is converted unless the cache has an intact copy.  If two processes need it at the same time,
    one converts it and the other waits.  `digest` is the sha256 of `file`, if the caller knows it.

    Raises Misuse if the file cannot be read as a model, and Failure if there is no cache or the
    directory cannot be written.
    """
    cache = files.cache_folder()
    if cache is None:
        raise Failure(f"{file} cannot be converted without a cache: set HOME or XDG_CACHE_HOME")
    folder = cache / "gguf" / (digest or files.sha256(file))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # The operating system releases the lock of a process that is killed.
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if files.changed_files(folder):
                _convert(file, folder)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise Failure(f"{file} cannot be converted to {folder}: {error}") from None
    return folder


def _convert(file: Path, folder: Path) -> None:
    """Write the converted model under a temporary name, and rename it to `folder` at the end."""
    print(f"converting {file} to fp32, once, into {folder}", file=sys.stderr)
    model, tokenizer, license = _read(file)
    new = files.new_folder(folder)
    model.save_pretrained(new)
    tokenizer.save_pretrained(new)
    if license:
        card = ModelCardData(license=license).to_yaml()
        (new / "README.md").write_text(
            f"---\n{card}\n---\n\nConverted from {file.name}.\n", "utf-8"
        )
    files.write_checksums(new)
    files.replace_folder(new, folder)  # which may be damaged


def _read(file: Path) -> tuple[Any, Any, str | None]:
    """Return model and tokenizer, and the license that the file states.

    Raises Misuse if it cannot be read.
    """
    try:
        from gguf import GGUFReader
    except ImportError:
        raise Misuse(f"{file} needs the package gguf: pip install gguf==0.19.0") from None
    logging.disable_progress_bar()  # "Loading weights"; the one of the conversion remains
    try:
        license = GGUFReader(file).get_field("general.license")
        # By default, weights stay packed where there are kernels for that, and cannot be saved.
        unpacked = GgufConfig(dequantize=True)
        # Typed as Any: with output_loading_info, from_pretrained returns a pair.
        model_class: Any = AutoModelForCausalLM
        model, loading_info = model_class.from_pretrained(
            file.parent,
            gguf_file=file.name,
            dtype=torch.float32,
            quantization_config=unpacked,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    except OSError:  # of the file system rather than the content: `converted` reports it
        raise
    except Exception as error:  # the library raises many kinds, for as many kinds of damage
        raise Misuse(f"{file} cannot be read as a causal language model: {error}") from None
    if missing := sorted(loading_info["missing_keys"]):  # the library fills them at random
        raise Misuse(f"{file} has no weights for {', '.join(missing)}")
    return model, tokenizer, license.contents() if license else None
