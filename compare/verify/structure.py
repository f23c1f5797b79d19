"""What the weights and the modules are: their number, their origin in libraries, their ties."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel

from compare.course import PARAMETER_LIMIT
from compare.verify.points import Point, failed, judged, not_checkable, passed

SMALL = ("small", f"Fewer than {PARAMETER_LIMIT:,} parameters")
BUILT = ("torch-nn", "Built from torch.nn")
DECODER = ("decoder-only", "Decoder-only")
TIED = ("tied", "Weights are tied as the configuration says")
# Parts of module and parameter names of attention to an encoder's output.
CROSS_ATTENTION = ("multihead_attn", "cross_attn", "crossattention", "encoder_attn")
# A causal mask has very few different values; learned numbers have many.
MASK_VALUES = 3
SHOWN = 8  # module classes


class Origin(StrEnum):
    """Where a class comes from."""

    TORCH_NN = "torch.nn"
    TORCH = "torch"
    TRANSFORMERS = "transformers"
    PEFT = "peft"
    OTHER = "its own code"


def count_parameters(model: PreTrainedModel) -> int:
    """Return the number of parameters; a tied one counts once, and so does a frozen one.

    `nn.Module`'s own method is called, because the code of a hand-in may replace that of the model.
    """
    return sum(weight.numel() for _, weight in nn.Module.named_parameters(model))


def count_in_files(folder: Path) -> int:
    """Return the number of elements in the safetensors files, without running the model's code.

    Equal tensors count once, because some programs save tied weights twice.  Raises OSError or
    SafetensorError if a file cannot be read.
    """
    sizes = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():
                tensor = file.get_tensor(name)
                data = tensor.contiguous().flatten().view(torch.uint8).numpy()
                digest = hashlib.sha256(data).hexdigest() + str(tuple(tensor.shape))
                sizes[digest] = tensor.numel()
    return sum(sizes.values())


def check_size(model: PreTrainedModel) -> Point:
    """Count the parameters, and look for numbers that may be learned but are no parameters."""
    number = count_parameters(model)
    if number >= PARAMETER_LIMIT:
        over = number - PARAMETER_LIMIT + 1
        return failed(*SMALL, f"{number:,} parameters in the weights; {over:,} too many")
    other = sum(tensor.numel() for tensor in _other_numbers(model))
    if number + other >= PARAMETER_LIMIT:
        return not_checkable(
            *SMALL,
            f"{number:,} parameters, and {other:,} more numbers in buffers and attributes that "
            "look neither like a mask nor like parameters: ask what they are; if they are learned, "
            "they count",
        )
    return passed(*SMALL, f"{number:,} parameters in the weights")


def check_size_of_files(folder: Path) -> Point:
    """Count the parameters of a model whose code was not run."""
    try:
        number = count_in_files(folder)
    except (OSError, SafetensorError) as error:
        return not_checkable(*SMALL, f"the weights cannot be read: {error}")
    if not number:
        return not_checkable(*SMALL, "there are no weights in safetensors format to count")
    return judged(*SMALL, number < PARAMETER_LIMIT, f"{number:,} numbers in the safetensors files")


def _other_numbers(model: PreTrainedModel) -> Iterator[Tensor]:
    """Yield tensors in `model` that are no parameters and no masks, each once."""
    seen = {id(weight) for _, weight in nn.Module.named_parameters(model)}
    for module in nn.Module.modules(model):
        for value in _tensors(module):
            if id(value) not in seen and len(value.unique()) > MASK_VALUES:
                yield value
            seen.add(id(value))


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    """Yield the tensors in a module's attributes, its buffers included, but not in submodules."""
    for value in vars(module).values():
        values: list[object] = [value]
        if isinstance(value, dict):
            values = list(value.values())
        elif isinstance(value, list | tuple):
            values = list(value)
        yield from (each for each in values if isinstance(each, Tensor))


def origin_of(kind: type) -> Origin:
    """Return where a class comes from."""
    if kind.__module__.startswith("torch.nn."):
        return Origin.TORCH_NN
    package = kind.__module__.split(".")[0]
    return Origin(package) if package in set(Origin) else Origin.OTHER


def check_modules(model: PreTrainedModel) -> Point:
    """Check that the model is its own code on top of torch.nn, not an architecture of a library."""
    kinds = Counter(type(module) for module in nn.Module.modules(model))
    foreign = [kind for kind in kinds if origin_of(kind) in (Origin.TRANSFORMERS, Origin.PEFT)]
    names = [f"{kind.__name__} ({origin_of(kind)})" for kind in kinds]
    evidence = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    if origin_of(type(model)) is Origin.TRANSFORMERS:
        return failed(
            *BUILT, f"the architecture is {type(model).__name__} of transformers: {evidence}"
        )
    # Activation functions are no architecture.
    layers = [kind for kind in foreign if ".activations" not in kind.__module__]
    if layers:
        return failed(*BUILT, f"{layers[0].__name__} comes from {origin_of(layers[0])}: {evidence}")
    return passed(*BUILT, evidence)


def check_decoder_only(model: PreTrainedModel, is_causal: bool | None) -> Point:
    """Check that there is no encoder, no cross-attention and no recurrence, and that it is causal.

    `is_causal` is None if causality could not be checked.
    """
    names = [name for name, _ in nn.Module.named_modules(model)]
    cross = [name for name in names if any(part in name.lower() for part in CROSS_ATTENTION)]
    recurrent = [type(each) for each in nn.Module.modules(model) if isinstance(each, nn.RNNBase)]
    if getattr(model.config, "is_encoder_decoder", False):
        return failed(*DECODER, f"{type(model).__name__} has an encoder and a decoder")
    if cross:
        return failed(*DECODER, f"it has cross-attention: {cross[0]}")
    if recurrent:
        return failed(*DECODER, f"it is recurrent: {recurrent[0].__name__}")
    if is_causal is None:
        return not_checkable(
            *DECODER, "no encoder, but whether it is causal could not be checked; see there"
        )
    return judged(
        *DECODER,
        is_causal,
        f"{type(model).__name__} has no encoder and no cross-attention, and is "
        + ("causal" if is_causal else "not causal"),
    )


def check_ties(model: PreTrainedModel, config: dict[str, Any]) -> Point:
    """Check that input and output embeddings share their weights if config.json says so.

    `config` is the content of config.json.
    """
    try:
        inputs: Any = model.get_input_embeddings()
        outputs: Any = model.get_output_embeddings()
        shared = inputs.weight.data_ptr() == outputs.weight.data_ptr()
    except Exception:  # code of the hand-in; the base class raises NotImplementedError
        return not_checkable(*TIED, "the model does not say which modules are its embeddings")
    found = "input and output embeddings " + ("share" if shared else "do not share") + " weights"
    configured = config.get("tie_word_embeddings")
    if configured is None:
        return passed(*TIED, f"{found}; config.json does not say whether they should")
    return judged(
        *TIED, shared == configured, f"{found}; tie_word_embeddings is {str(configured).lower()}"
    )
