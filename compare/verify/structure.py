"""What the weights and the modules are: their number, their origin in libraries, their ties."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
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

    The modules' own dicts are read, because the code of a hand-in may replace any method.
    """
    return sum(weight.numel() for weight in named_parameters(model).values())


def named_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return `model` and all modules in it, each once, whatever methods their code replaces."""
    found: dict[str, nn.Module] = {}
    seen = set()
    remaining = [("", model)]
    while remaining:
        name, module = remaining.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        found[name] = module
        children = [
            (f"{name}.{child_name}" if name else child_name, child)
            for child_name, child in vars(module)["_modules"].items()
            if isinstance(child, nn.Module)
        ]
        remaining += reversed(children)  # so that they come in their own order
    return found


def named_parameters(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters of all modules, each once, whatever methods their code replaces."""
    found: dict[int, tuple[str, Tensor]] = {}
    for prefix, module in named_modules(model).items():
        for name, value in vars(module)["_parameters"].items():
            if isinstance(value, Tensor):
                found.setdefault(id(value), (f"{prefix}.{name}" if prefix else name, value))
    return dict(found.values())


def _loaded_files(folder: Path) -> list[Path]:
    """Return the safetensors files that transformers loads, or all if they have other names."""
    single, parts = folder / "model.safetensors", sorted(folder.glob("model-*-of-*.safetensors"))
    return [single] if single.exists() else parts or sorted(folder.glob("*.safetensors"))


def count_in_files(folder: Path) -> tuple[int, int]:
    """Count the elements in the loaded safetensors files, without running the model's code.

    Equal tensors count once, because some programs save tied weights twice.  Returns the number of
    all elements, and of those in tensors that look like masks.  Raises OSError or SafetensorError
    if a file cannot be read.
    """
    sizes, masks = {}, {}
    for path in _loaded_files(folder):
        with safe_open(path, "pt") as file:
            for name in file.keys():
                tensor = file.get_tensor(name)
                data = tensor.contiguous().flatten().view(torch.uint8).numpy()
                digest = hashlib.sha256(data).hexdigest() + str(tuple(tensor.shape))
                sizes[digest] = tensor.numel()
                # Vectors with few values are rather parameters, such as biases that are all zero.
                is_mask = tensor.ndim > 1 and _looks_like_a_mask(tensor)
                masks[digest] = tensor.numel() if is_mask else 0
    return sum(sizes.values()), sum(masks.values())


def check_size(model: PreTrainedModel, folder: Path) -> Point:
    """Count the parameters, and look for numbers that may be learned but are no parameters.

    These are in buffers, in attributes, or in the weights in `folder` alone.
    """
    number = count_parameters(model)
    if number >= PARAMETER_LIMIT:
        over = number - PARAMETER_LIMIT + 1
        return failed(*SMALL, f"{number:,} parameters in the weights; {over:,} too many")
    other = sum(_other_numbers(model))
    if number + other >= PARAMETER_LIMIT:
        return not_checkable(
            *SMALL,
            f"{number:,} parameters, and {other:,} more numbers in buffers and attributes that "
            "look neither like a mask nor like parameters: ask what they are; if they are learned, "
            "they count",
        )
    in_files, masks = _count_in_readable_files(folder)
    if in_files - masks >= PARAMETER_LIMIT:
        return not_checkable(
            *SMALL,
            f"{number:,} parameters in the model, but {in_files - masks:,} numbers in its "
            "safetensors files that do not look like a mask: ask what they are for",
        )
    evidence = f"{number:,} parameters in the weights"
    if (unknown := in_files - masks - number - other) > 0:
        evidence += f"; the safetensors files hold {unknown:,} numbers that the model does not use"
    return passed(*SMALL, evidence)


def _count_in_readable_files(folder: Path) -> tuple[int, int]:
    """Return what `count_in_files` does, but (0, 0) if a file cannot be read."""
    try:
        return count_in_files(folder)
    except (OSError, SafetensorError):
        return 0, 0


def check_size_of_files(folder: Path) -> Point:
    """Count the parameters of a model whose code was not run."""
    try:
        number, masks = count_in_files(folder)
    except (OSError, SafetensorError) as error:
        return not_checkable(*SMALL, f"the weights cannot be read: {error}")
    if not number:
        return not_checkable(*SMALL, "there are no weights in safetensors format to count")
    evidence = f"{number:,} numbers in the safetensors files"
    if number - masks < PARAMETER_LIMIT <= number:
        return not_checkable(
            *SMALL,
            f"{evidence}, of which {masks:,} are in tensors that look like masks; whether the "
            "model's code uses them as such was not checked: read it, then add --trust-code",
        )
    return judged(*SMALL, number < PARAMETER_LIMIT, evidence)


def _other_numbers(model: PreTrainedModel) -> Iterator[int]:
    """Yield the size of each tensor and array in `model` that is no parameter and no mask."""
    modules = named_modules(model).values()
    seen = {id(each) for each in (*named_parameters(model).values(), *modules)}
    for module in modules:
        for value in _tensors(vars(module).values(), seen):
            if not _looks_like_a_mask(value):
                yield value.numel() if isinstance(value, Tensor) else value.size


def _tensors(values: Iterable[object], seen: set[int]) -> Iterator[Tensor | np.ndarray]:
    """Yield the tensors and arrays among `values`, and in containers and modules among them.

    What is in `seen`, by id, is left out; what is found is added to it.  Tensors on the device
    "meta" hold no numbers.
    """
    for value in values:
        if id(value) in seen:
            continue
        if isinstance(value, Tensor | np.ndarray):
            seen.add(id(value))
            if not (isinstance(value, Tensor) and value.is_meta):
                yield value
        elif isinstance(value, nn.Module | Mapping | list | tuple | set | frozenset | deque):
            seen.add(id(value))
            inner: Iterable[object] = vars(value) if isinstance(value, nn.Module) else value
            yield from _tensors(inner.values() if isinstance(inner, Mapping) else inner, seen)


def _looks_like_a_mask(value: Tensor | np.ndarray) -> bool:
    """Return whether `value` has as few different numbers as a mask."""
    if isinstance(value, np.ndarray):
        try:
            return len(np.unique(value)) <= MASK_VALUES
        except TypeError:  # of Python objects that have no order
            return False
    if value.is_complex():
        value = torch.view_as_real(value.resolve_conj())
    try:
        return len(value.detach().unique()) <= MASK_VALUES
    except NotImplementedError:  # for types with 8 bits, and sparse tensors
        return False


def origin_of(kind: type) -> Origin:
    """Return where a class comes from."""
    if kind.__module__.startswith("torch.nn."):
        return Origin.TORCH_NN
    package = kind.__module__.split(".")[0]
    return Origin(package) if package in set(Origin) else Origin.OTHER


def check_modules(model: PreTrainedModel) -> Point:
    """Check that the model is its own code on top of torch.nn, not an architecture of a library."""
    kinds = Counter(type(module) for module in named_modules(model).values())
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
    modules = named_modules(model)
    cross = [name for name in modules if any(part in name.lower() for part in CROSS_ATTENTION)]
    recurrent = [type(each) for each in modules.values() if isinstance(each, nn.RNNBase)]
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
