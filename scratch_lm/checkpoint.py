"""What --resume needs, in one safetensors file: no pickle, and complete or not there at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from compare.corpus import write_atomically


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    progress: dict[str, Any],
) -> None:
    """Weights, optimizer states, random state and `progress` (anything JSON can hold)."""
    tensors = {f"model/{name}": p.detach() for name, p in model.named_parameters()}
    for number, optimizer in enumerate(optimizers):
        for parameter, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimizer/{number}/{parameter}/{key}"] = value
    tensors["random/cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random/cuda"] = torch.cuda.get_rng_state()
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(tensors, {"progress": json.dumps(progress)}))


def load_checkpoint(
    path: Path, model: nn.Module, optimizers: list[torch.optim.Optimizer]
) -> dict[str, Any]:
    """Put the saved states back; returns `progress`."""
    states: list[dict[int, dict[str, torch.Tensor]]] = [{} for _ in optimizers]
    parameters = dict(model.named_parameters())
    with safe_open(path, "pt") as file, torch.no_grad():
        progress = json.loads(file.metadata()["progress"])
        for name in file.keys():
            kind, *rest = name.split("/")
            tensor = file.get_tensor(name)
            if kind == "model":
                parameters[rest[0]].copy_(tensor)
            elif kind == "optimizer":
                number, parameter, key = rest
                states[int(number)].setdefault(int(parameter), {})[key] = tensor
            elif name == "random/cpu":
                torch.set_rng_state(tensor)
            elif torch.cuda.is_available():
                torch.cuda.set_rng_state(tensor)
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return progress
