"""The models that runs have left, loaded without knowing which track made them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from compare.cli import Failure, Misuse

Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]


@dataclass(frozen=True)
class Row:
    """One model of the study: its name in tables, its run, and where its weights are."""

    name: str
    kind: str
    run: dict[str, Any]
    folder: Path

    @property
    def trained(self) -> bool:
        """False for a base that the run did not change."""
        return self.kind != "zero-shot"

    @property
    def own_code(self) -> bool:
        """True for scratch models, which carry the code that the track wrote beside them."""
        return self.run["track"] == "scratch_lm"


def row(run: dict[str, Any]) -> Row:
    """The row of a run's trained model."""
    if run["track"] == "scratch_lm":
        return Row(f"Scratch ({run['preset']})", run["preset"], run, run["path"] / "model")
    name = f"{run['base']['resolved']} fine-tuned"
    return Row(name, "fine-tuned", run, run["path"] / "model")


def base_row(run: dict[str, Any]) -> Row:
    """The row of the base that a run of the GPT-2 track started from.

    Raises Misuse when that is not there any more, or not the same.
    """
    base = run["base"]
    folder = Path(base["folder"])
    if not folder.is_dir() or weights_sha256(folder) != base["weights_sha256"]:
        raise Misuse(f"the base in {folder} has changed since {run['path']} started from it")
    return Row(f"{base['resolved']} zero-shot", "zero-shot", run, folder)


def weights_sha256(folder: Path) -> str:
    """sha256 over all safetensors files of a model directory, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def load(folder: Path, own_code: bool = False) -> Loaded:
    """Model in fp32, in evaluation mode, and tokenizer.  Raises Failure when they cannot be read.

    Code beside the weights is run only with `own_code`, which is for what a training on this
    machine has left; a base may come from anywhere.
    """
    logging.disable_progress_bar()  # "Loading weights": over before it can be read
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=own_code, local_files_only=True
        )
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=own_code, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise Failure(f"no model can be loaded from {folder}: {error}") from None
    return model.to(device).eval(), tokenizer
