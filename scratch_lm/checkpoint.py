"""What --resume needs, in one safetensors file: no pickle, and complete or not there at all."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from compare.corpus import write_atomically


@dataclass
class Progress:
    """Where a training stands."""

    step: int = 0
    epochs: int = 0  # finished ones
    characters_seen: int = 0
    nats: float = 0.0  # of the running epoch's training loss, summed over its targets so far
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
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(tensors, {"progress": json.dumps(asdict(progress))}))


def load_checkpoint(
    path: Path, model: nn.Module, optimizers: list[torch.optim.Optimizer]
) -> Progress:
    """Put the saved states back; returns `progress`."""
    states: list[dict[int, dict[str, torch.Tensor]]] = [{} for _ in optimizers]
    parameters = dict(model.named_parameters())
    with safe_open(path, "pt") as file, torch.no_grad():
        progress = Progress(**json.loads(file.metadata()["progress"]))
        for name in file.keys():
            kind, *rest = name.split("/")
            tensor = file.get_tensor(name)
            if kind == "model":
                parameters[rest[0]].copy_(tensor)
            else:
                number, parameter, key = rest
                states[int(number)].setdefault(int(parameter), {})[key] = tensor
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return progress
