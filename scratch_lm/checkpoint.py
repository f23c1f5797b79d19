"""Checkpoints for --resume: one safetensors file, without pickle, written atomically."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from compare.errors import Failure
from compare.files import write_atomically


@dataclass
class Progress:
    """How far a training run has come.

    `nats`, `tokens` and `seconds` accumulate over the current epoch and restart at 0 in the next.
    """

    step: int = 0  # optimizer steps so far
    epochs: int = 0  # completed epochs
    characters_seen: int = 0  # of the training split, over all epochs
    nats: float = 0.0  # training loss, summed over the targets that come from the text
    tokens: int = 0  # number of these targets
    seconds: float = 0.0  # time spent in training steps


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    progress: Progress,
    average: nn.Module | None = None,
) -> None:
    """Write weights, their `average`, optimizer states and `progress` to `path`, atomically.

    No random state is needed: `scratch_lm.dropout` derives the dropout masks from the step.  Pass
    no optimizers to save the weights alone.
    """
    tensors = {f"model/{name}": p.detach() for name, p in model.named_parameters()}
    if average is not None:
        tensors |= {f"average/{name}": p.detach() for name, p in average.named_parameters()}
    for number, optimizer in enumerate(optimizers):
        for parameter, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimizer/{number}/{parameter}/{key}"] = value
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    progress_json = json.dumps(asdict(progress))
    metadata = {"progress": progress_json, "sha256": _sha256(tensors, progress_json)}
    write_atomically(path, save(tensors, metadata))


def load_checkpoint(
    path: Path,
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    average: nn.Module | None = None,
) -> Progress:
    """Restore what `save_checkpoint` wrote to `path`, and return the saved `Progress`.

    Pass no optimizers to restore the weights alone.  Raises Failure if the file is missing,
    damaged, or of a model with other parameters.
    """
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        progress = Progress(**json.loads(metadata["progress"]))
        intact = metadata["sha256"] == _sha256(tensors, metadata["progress"])
    except (OSError, SafetensorError, ValueError, TypeError, KeyError):
        intact = False
    if not intact:
        raise Failure(f"{path} is damaged: move its run directory away and train again")
    states: list[dict[int, dict[str, torch.Tensor]]] = [{} for _ in optimizers]
    weights = {"model": model} | ({} if average is None else {"average": average})
    parameters = {kind: dict(module.named_parameters()) for kind, module in weights.items()}
    saved = {
        name: tensor.shape for name, tensor in tensors.items() if name.split("/")[0] in parameters
    }
    needed = {
        f"{kind}/{name}": parameter.shape
        for kind, by_name in parameters.items()
        for name, parameter in by_name.items()
    }
    if saved != needed:
        raise Failure(
            f"{path} was written by another version of the model: use that version, or train again "
            "without --resume"
        )
    for name, tensor in tensors.items():
        kind, *rest = name.split("/")
        if kind in parameters:
            parameters[kind][rest[0]].data.copy_(tensor)
        elif optimizers:
            number, parameter, key = rest
            states[int(number)].setdefault(int(parameter), {})[key] = tensor
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return progress


def _sha256(tensors: dict[str, torch.Tensor], progress: str) -> str:
    """Hash the progress, then the name and bytes of every tensor, sorted by name."""
    digest = hashlib.sha256(progress.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
