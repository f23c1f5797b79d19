"""What --resume needs, in one safetensors file: no pickle, and complete or not there at all."""

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
    """Where a training stands."""

    step: int = 0
    epochs: int = 0  # finished ones
    characters_seen: int = 0
    nats: float = 0.0  # of the running epoch's training loss, summed over the text's targets so far
    tokens: int = 0  # those targets
    seconds: float = 0.0  # spent on the running epoch's steps


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    progress: Progress,
) -> None:
    """Weights, optimizer states and `progress`; dropout needs no state, see `train`."""
    tensors = {f"model/{name}": p.detach() for name, p in model.named_parameters()}
    for number, optimizer in enumerate(optimizers):
        for parameter, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimizer/{number}/{parameter}/{key}"] = value
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    where = json.dumps(asdict(progress))
    metadata = {"progress": where, "sha256": _sha256(tensors, where)}
    write_atomically(path, save(tensors, metadata))


def load_checkpoint(
    path: Path, model: nn.Module, optimizers: list[torch.optim.Optimizer]
) -> Progress:
    """Put the saved states back; returns `progress`.  Raises Failure for a damaged file."""
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        progress = Progress(**json.loads(metadata["progress"]))
        whole = metadata["sha256"] == _sha256(tensors, metadata["progress"])
    except (OSError, SafetensorError, ValueError, TypeError, KeyError):
        whole = False
    if not whole:
        raise Failure(f"{path} is damaged: move its run directory away and train again")
    states: list[dict[int, dict[str, torch.Tensor]]] = [{} for _ in optimizers]
    parameters = dict(model.named_parameters())
    for name, tensor in tensors.items():
        kind, *rest = name.split("/")
        if kind == "model":
            parameters[rest[0]].data.copy_(tensor)
        elif optimizers:
            number, parameter, key = rest
            states[int(number)].setdefault(int(parameter), {})[key] = tensor
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return progress


def _sha256(tensors: dict[str, torch.Tensor], progress: str) -> str:
    """Of the progress, and of the tensors' names and bytes in the order of their names."""
    digest = hashlib.sha256(progress.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
