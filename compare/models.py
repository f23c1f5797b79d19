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
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from compare import checksums
from compare.cli import Failure, Misuse
from compare.finished import Runs

Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]


@dataclass(frozen=True)
class Row:
    """One line of the comparison: a name, and the runs behind it, which differ in their seed."""

    name: str
    kind: str
    runs: Runs  # the best on validation first: it speaks for the row
    folders: list[Path]  # of each run's weights

    @property
    def trained(self) -> bool:
        """False for a base that no run has changed."""
        return self.kind != "zero-shot"

    @property
    def own_code(self) -> bool:
        """True for scratch models, which carry the code that the track wrote beside them."""
        return self.runs[0]["track"] == "scratch_lm"


def rows(scratch: list[Runs], gpt2: list[Runs]) -> list[Row]:
    """A row for each preset of `compare.finished.study`, and one for the untouched base.

    Raises Misuse when that base is not there any more, or not the same.
    """
    for runs in [*scratch, *gpt2]:
        for run in runs:
            require_whole(run)
    made = [
        Row(name(runs[0]), runs[0]["preset"], runs, [run["path"] / "model" for run in runs])
        for runs in [*scratch, *gpt2]
    ]
    run = gpt2[0][0]
    base, folder = run["base"], Path(run["base"]["folder"])
    if not folder.is_dir() or weights_sha256(folder) != base["weights_sha256"]:
        raise Misuse(f"the base in {folder} has changed since {run['path']} started from it")
    return [*made, Row(f"{base['resolved']} zero-shot", "zero-shot", [run], [folder])]


def require_whole(run: dict[str, Any]) -> None:
    """Raises Failure when a file of the run's model is not what the training has left."""
    folder = run["path"] / "model"
    if bad := checksums.damaged(folder, run.get("model_sha256", {})):
        raise Failure(
            f"{folder}: {', '.join(bad)} changed after the training (sha256): restore it, or move "
            f"{run['path']} away and train again"
        )


def name(run: dict[str, Any]) -> str:
    """What tables call the model that a run has trained."""
    if run["track"] == "scratch_lm":
        return f"Scratch ({run['preset']})"
    return f"{run['base']['resolved']} {run['preset']}"


def weights_sha256(folder: Path) -> str:
    """sha256 over all safetensors files of a model directory, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def load(folder: Path, own_code: bool = False, config: PreTrainedConfig | None = None) -> Loaded:
    """Model in fp32, in evaluation mode, and tokenizer.  Raises Failure when they cannot be read.

    Code beside the weights is run only with `own_code`, which is for what a training on this
    machine has left; a base may come from anywhere.  `config` replaces the one beside the weights.
    """
    logging.disable_progress_bar()  # "Loading weights": over before it can be read
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,  # no pickle
            trust_remote_code=own_code,
            local_files_only=True,
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=own_code, local_files_only=True
        )
    except Exception as error:  # the library raises many kinds, for as many kinds of damage
        raise Failure(f"no model can be loaded from {folder}: {error}") from None
    if found["missing_keys"]:  # which the library would fill with random numbers
        raise Failure(f"{folder} has no weights for {', '.join(sorted(found['missing_keys']))}")
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # an empty one, for want of files
        raise Failure(f"{folder} has no tokenizer")
    return model.to(device).eval(), tokenizer
