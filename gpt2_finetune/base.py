"""Which checkpoint fine-tuning starts from, and where it comes from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from compare import models, network
from compare.cli import Failure, Misuse

GPT2 = "openai-community/gpt2"
STAND_IN = Path(__file__).parent / "offline_base"
STAND_IN_NAME = "stand-in-3.7m"
FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]


def load_base(requested: str, dropout: float) -> tuple[PreTrainedModel, Tokenizer, dict[str, Any]]:
    """Model in fp32, tokenizer, and {requested, resolved, revision, source} for the run record.

    "auto" is GPT-2, or the stand-in under its own name, with a warning.  Raises Failure when any
    other name cannot be had, Misuse when a directory holds no causal language model.
    """
    if Path(requested).is_dir():
        name = Path(requested).resolve().name
        return _load(requested, dropout, name, Path(requested), None, "directory")
    name = GPT2 if requested == "auto" else requested
    try:
        folder, source = _from_cache_or_hub(name)
        return _load(requested, dropout, name, folder, folder.name, source)
    except Failure as reason:
        if requested != "auto":
            raise
        print(
            f"WARNING: {reason}. Fine-tuning the stand-in {STAND_IN_NAME} instead: it shares "
            "GPT-2's architecture, not its size or its training.",
            file=sys.stderr,
        )
    return _load(requested, dropout, STAND_IN_NAME, STAND_IN, None, "shipped with gpt2_finetune")


def _from_cache_or_hub(name: str) -> tuple[Path, str]:
    """Snapshot folder, named after its commit, and "cache" or "Hub"."""
    try:
        folder = Path(snapshot_download(name, allow_patterns=FILES, local_files_only=True))
        if any(folder.glob("*.safetensors")):
            return folder, "cache"
    except LocalEntryNotFoundError:
        pass
    except HFValidationError:
        raise Misuse(f"--base {name} is neither a directory nor a Hub name") from None
    if not network.hub_reachable():
        raise Failure(f"{name} is not in the local cache, and the Hub is out of reach")
    try:
        return Path(snapshot_download(name, allow_patterns=FILES)), "Hub"
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise Failure(f"{name} cannot be had from the Hub: {error}") from None


def _load(
    requested: str,
    dropout: float,
    resolved: str,
    folder: Path,
    revision: str | None,
    source: str,
) -> tuple[PreTrainedModel, Tokenizer, dict[str, Any]]:
    try:
        if models.needs_code(folder):
            raise Failure(f"transformers has no class for it, and code in {folder} is not run")
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        model, tokenizer = models.load(folder, config=with_dropout(config, dropout))
    except (Failure, OSError, ValueError) as error:
        raise Misuse(f"--base {requested} is no causal language model: {error}") from None
    record = {"requested": requested, "resolved": resolved, "revision": revision, "source": source}
    # Where compare.report finds the untouched base, and how it knows that it is untouched.
    record |= {"folder": str(folder), "weights_sha256": models.weights_sha256(folder)}
    return model, tokenizer, record


def with_dropout(config: PreTrainedConfig, dropout: float) -> PreTrainedConfig:
    """A model's configuration with `dropout` wherever it has any, but for attention: none there.

    Dropping attention weights leaves the fused kernel: GPT-2 in bf16 then takes twice as long.
    """
    for name in vars(config):
        if name.endswith(("pdrop", "dropout")):
            setattr(config, name, 0.0 if name.startswith("att") else dropout)
    return config
