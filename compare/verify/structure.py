"""What the weights and the modules are: their number, their origin in libraries, their ties."""

from __future__ import annotations

import gc
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel

from compare.course import PARAMETER_LIMIT
from compare.runs import models
from compare.verify.points import Point, failed, judged, not_checkable, passed

SMALL = ("small", f"Fewer than {PARAMETER_LIMIT:,} parameters")
BUILT = ("torch-nn", "Built from torch.nn")
DECODER = ("decoder-only", "Decoder-only")
TIED = ("tied", "Weights are tied as the configuration says")
# Parts of names of modules that attend to an encoder's output.
CROSS_ATTENTION = ("cross_attn", "crossattention", "encoder_attn")
# Cross-attention in torch's decoder layer; many models call their self-attention by this name.
TORCH_CROSS_ATTENTION = "multihead_attn"
# A causal mask has very few different values; learned numbers have many.
MASK_VALUES = 3
# Ends of the names that the modules of torch.nn give to most of their parameters.
WEIGHT_NAMES = (".weight", ".in_proj_weight")
SHOWN = 8  # module classes, or large files
# Objects that are searched for tensors; a model with its modules and configuration has thousands.
MAX_OBJECTS = 200_000
LARGE_FILE = 1_000_000  # bytes; a million numbers hardly fit into less
NUMBERS = (int, float, complex)
ATOMS = (str, *NUMBERS, bool, type(None))  # refer to nothing
# Outside tensors and arrays, fewer numbers do not count: every configuration has some.
FEW_NUMBERS = 10_000


class Origin(StrEnum):
    """Where a class comes from."""

    TORCH_NN = "torch.nn"
    TORCH = "torch"
    TRANSFORMERS = "transformers"
    PEFT = "peft"
    OWN = "its own code"
    OTHER = "another library"


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


def _all_files(folder: Path) -> list[Path]:
    """Return all safetensors files, which code beside them may load."""
    return sorted(folder.glob("*.safetensors"))


@dataclass(frozen=True)
class Counted:
    """How many elements safetensors files hold; equal tensors count once."""

    numbers: int
    """All of them."""
    in_masks: int
    """In tensors that look like masks."""
    in_weights: int
    """In tensors that are called weight and do not look like masks: they are parameters of modules,
    while others may be buffers."""


def count_in_files(paths: Sequence[Path]) -> Counted:
    """Count the elements in safetensors files, without running the model's code.

    Equal tensors count once, because some programs save tied weights twice.  Raises OSError or
    SafetensorError if a file cannot be read.
    """
    sizes, masks, weights = {}, {}, {}
    for path in paths:
        with safe_open(path, "pt") as file:
            for name in file.keys():
                tensor = file.get_tensor(name)
                data = tensor.contiguous().flatten().view(torch.uint8).numpy()
                digest = hashlib.sha256(data).hexdigest() + str(tuple(tensor.shape))
                sizes[digest] = tensor.numel()
                # Vectors with few values are rather parameters, such as biases that are all zero.
                if tensor.ndim > 1 and _looks_like_a_mask(tensor):
                    masks[digest] = tensor.numel()
                elif name.endswith(WEIGHT_NAMES):
                    weights[digest] = tensor.numel()
    return Counted(sum(sizes.values()), sum(masks.values()), sum(weights.values()))


def check_size(model: PreTrainedModel, folder: Path) -> Point:
    """Count the parameters, and look for numbers that may be learned but are no parameters.

    These are in buffers, in attributes, in other objects that the model can reach, or only in the
    safetensors files in `folder`.
    """
    number = count_parameters(model)
    if number >= PARAMETER_LIMIT:
        over = number - PARAMETER_LIMIT + 1
        return failed(*SMALL, f"{number:,} parameters in the weights; {over:,} too many")
    other, is_complete = _count_other_numbers(model)
    if number + other >= PARAMETER_LIMIT:
        return not_checkable(
            *SMALL,
            f"{number:,} parameters, and {other:,} more numbers (or plain bytes) in buffers, lists "
            "and other objects that look neither like a mask nor like parameters: ask what they "
            "are; if they are learned, they count",
        )
    if not is_complete:
        return not_checkable(
            *SMALL,
            f"{number:,} parameters, but the model has more than {MAX_OBJECTS:,} objects, not all "
            "of which were searched for more numbers: ask what they are for",
        )
    counted, unreadable = _count_in_readable_files(folder)
    in_files = counted.numbers - counted.in_masks
    if in_files >= PARAMETER_LIMIT:
        return not_checkable(
            *SMALL,
            f"{number:,} parameters in the model, but {in_files:,} numbers in its "
            "safetensors files that do not look like a mask: ask what they are for",
        )
    evidence = f"{number:,} parameters in the weights"
    if (unknown := in_files - number - other) > 0:
        evidence += f"; the safetensors files hold {unknown:,} numbers that the model does not use"
    if unreadable:
        evidence += f"; cannot be read: {', '.join(unreadable)}"
    return passed(*SMALL, evidence + _name_large_files(folder))


def _count_in_readable_files(folder: Path) -> tuple[Counted, list[str]]:
    """Count in all safetensors files of `folder`, and name those that cannot be read."""
    readable, unreadable = [], []
    for path in _all_files(folder):
        try:
            count_in_files([path])
        except (OSError, SafetensorError):
            unreadable.append(path.name)
        else:
            readable.append(path)
    return count_in_files(readable), unreadable


def _name_large_files(folder: Path) -> str:
    """Name large files that may hold weights; return "" if there are none.

    These are all except the safetensors files in `folder` itself, which are counted.  A tokenizer's
    files are named, too: nobody knows what is in them.  Hidden directories are skipped: Git's holds
    the weights once more, and .venv what was installed.
    """
    counted = _all_files(folder)
    large = []
    for parent, directories, names in os.walk(folder):
        directories[:] = [name for name in directories if not name.startswith(".")]
        paths = [Path(parent, name) for name in names]
        large += [
            path
            for path in paths
            if path.is_file() and path.stat().st_size >= LARGE_FILE and path not in counted
        ]
    if not large:
        return ""
    shown = [
        f"{path.relative_to(folder)} ({path.stat().st_size:,} bytes)"
        for path in sorted(large)[:SHOWN]
    ]
    more = f", and {len(large) - SHOWN:,} more" if len(large) > SHOWN else ""
    return f"; large files beside the weights: {', '.join(shown)}{more}"


def check_size_of_files(folder: Path) -> Point:
    """Count the parameters of a model whose code was not run.

    Its code decides which tensors are parameters, and which are buffers; those called weight are
    parameters.
    """
    try:
        counted = count_in_files(_loaded_files(folder))
    except (OSError, SafetensorError) as error:
        return not_checkable(*SMALL, f"the weights cannot be read: {error}")
    number, masks = counted.numbers, counted.in_masks
    if not number:
        return not_checkable(*SMALL, "there are no weights in safetensors format to count")
    evidence = f"{number:,} numbers in the safetensors files"
    if counted.in_weights >= PARAMETER_LIMIT:
        return failed(
            *SMALL, f"{evidence}, {counted.in_weights:,} of them in tensors called weight"
        )
    if number - masks < PARAMETER_LIMIT <= number:
        return not_checkable(
            *SMALL,
            f"{evidence}, of which {masks:,} are in tensors that look like masks; whether the "
            "model's code uses them as such was not checked: read it, then add --trust-code",
        )
    if number >= PARAMETER_LIMIT:
        return not_checkable(
            *SMALL,
            f"{evidence}; those in buffers count here, too, and only the model's code says which "
            "they are: read it, then add --trust-code",
        )
    in_all, unreadable = _count_in_readable_files(folder)
    if in_all.numbers >= PARAMETER_LIMIT:
        return not_checkable(
            *SMALL,
            f"{evidence} that transformers loads, and {in_all.numbers - number:,} in others beside "
            "them: ask what they are for",
        )
    if unreadable:
        evidence += f"; cannot be read: {', '.join(unreadable)}"
    return passed(*SMALL, evidence + _name_large_files(folder))


def _count_other_numbers(model: PreTrainedModel) -> tuple[int, bool]:
    """Count the numbers in what `model` can reach that are neither parameters nor in masks.

    These are in tensors and arrays, in lists and dicts of numbers, and in plain bytes, of which
    each may be a number; tensors on the device "meta" hold none.  Also returns whether everything
    was searched: False if there are more than MAX_OBJECTS.
    """
    number, outside_tensors, is_complete = 0, 0, True
    parameters = named_parameters(model).values()
    of_parameters = {id(weight) for weight in parameters}
    # By id.  The objects are kept, because the id of one that is gone may be given to another.
    seen: dict[int, object] = {}
    remaining: list[object] = [model, *parameters]
    while remaining:
        value = remaining.pop()
        if id(value) in seen:
            continue
        if len(seen) == MAX_OBJECTS:
            is_complete = False
            break
        seen[id(value)] = value
        referents = _referents(value)
        if isinstance(value, Tensor | np.ndarray):
            holds_none = isinstance(value, Tensor) and value.is_meta
            if id(value) not in of_parameters and not holds_none and not _looks_like_a_mask(value):
                number += value.numel() if isinstance(value, Tensor) else value.size
        elif (data := _buffer_of(value)) is not None:
            outside_tensors += 0 if _looks_like_a_mask(data) else data.size
        else:
            numbers = [each for each in referents if type(each) in NUMBERS]
            outside_tensors += len(numbers) if len(set(numbers)) > MASK_VALUES else 0
        remaining += [each for each in referents if type(each) not in ATOMS]
    return number + (outside_tensors if outside_tensors >= FEW_NUMBERS else 0), is_complete


def _buffer_of(value: object) -> np.ndarray | None:
    """Return what `value` holds if it is a storage, or a buffer of bytes or of numbers.

    Such buffers are bytearray, array.array or mmap, for instance.
    """
    try:
        if isinstance(value, torch.UntypedStorage):
            empty = torch.empty(0, dtype=torch.uint8, device=value.device)
            return empty.set_(value).cpu().numpy()
        return np.asarray(memoryview(value))  # type: ignore[arg-type]
    except Exception:  # it has no buffer, or none of numbers; or code of the hand-in
        return None


def _referents(value: object) -> list[Any]:
    """Return what `value` refers to: attributes, items, or what a function's closure holds.

    From code of libraries, one would reach what does not belong to the model.
    """
    if isinstance(value, logging.Logger):  # reaches all others
        return []
    if isinstance(value, FunctionType) and not _is_own(value.__globals__.get("__name__")):
        inner = (value.__closure__, value.__defaults__, value.__kwdefaults__, vars(value))
        return [each for each in inner if each]
    if isinstance(value, type) and not _is_own(value.__module__):
        return []
    if isinstance(value, ModuleType) and not _is_own(value.__name__):
        return []
    return gc.get_referents(value)


def _is_own(module: object) -> bool:
    """Return whether `module` is the name of a module with the code of a hand-in."""
    return str(module).startswith(models.CODE_MODULES)


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
    except RuntimeError:  # for types with 8 bits, and sparse tensors
        return False


def origin_of(kind: type) -> Origin:
    """Return where a class comes from."""
    if kind.__module__.startswith("torch.nn."):
        return Origin.TORCH_NN
    if _is_own(kind.__module__):
        return Origin.OWN
    package = _package_of(kind)
    return Origin(package) if package in set(Origin) else Origin.OTHER


def describe_origin(kind: type) -> str:
    """Name where a class comes from, for people: its package, if that is another library."""
    origin = origin_of(kind)
    return _package_of(kind) if origin is Origin.OTHER else origin


def _package_of(kind: type) -> str:
    return kind.__module__.split(".")[0]


def check_modules(model: PreTrainedModel) -> Point:
    """Check that the model is its own code on top of torch.nn, not an architecture of a library."""
    kinds = Counter(type(module) for module in named_modules(model).values())
    names = [f"{kind.__name__} ({describe_origin(kind)})" for kind in kinds]
    evidence = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    if origin_of(type(model)) in (Origin.TRANSFORMERS, Origin.OTHER):
        library = describe_origin(type(model))
        return failed(
            *BUILT, f"the architecture is {type(model).__name__} of {library}: {evidence}"
        )
    foreign = [kind for kind in kinds if origin_of(kind) in (Origin.TRANSFORMERS, Origin.PEFT)]
    # Activation functions are no architecture.
    layers = [kind for kind in foreign if ".activations" not in kind.__module__]
    if layers:
        return failed(*BUILT, f"{layers[0].__name__} comes from {origin_of(layers[0])}: {evidence}")
    others = [kind for kind in kinds if origin_of(kind) is Origin.OTHER]
    if others:
        return not_checkable(
            *BUILT,
            f"{others[0].__name__} comes from {_package_of(others[0])}: ask how much of the "
            f"architecture it is; {evidence}",
        )
    return passed(*BUILT, evidence)


def check_decoder_only(model: PreTrainedModel, is_causal: bool | None) -> Point:
    """Check that there is no encoder, no cross-attention and no recurrence, and that it is causal.

    `is_causal` is None if causality could not be checked.
    """
    modules = named_modules(model)
    cross = [name for name in modules if _is_cross_attention(name, modules)]
    recurrent = [type(each) for each in modules.values() if isinstance(each, nn.RNNBase)]
    if getattr(model.config, "is_encoder_decoder", False):
        return failed(*DECODER, f"{type(model).__name__} has an encoder and a decoder")
    if cross:
        return failed(*DECODER, f"it has cross-attention: {cross[0]}")
    if recurrent:
        return failed(*DECODER, f"it is recurrent: {recurrent[0].__name__}")
    if is_causal is None:
        return not_checkable(
            *DECODER,
            "no encoder, but whether it is causal could not be checked: see "
            '"No token sees the future"',
        )
    return judged(
        *DECODER,
        is_causal,
        f"{type(model).__name__} has no encoder and no cross-attention, and is "
        + ("causal" if is_causal else "not causal"),
    )


def _is_cross_attention(name: str, modules: Mapping[str, nn.Module]) -> bool:
    """Return whether the module called `name` attends to an encoder's output, or is a part of one.

    `modules` are all of the model, by name.
    """
    path = name.split(".")
    if TORCH_CROSS_ATTENTION in path:
        parent = ".".join(path[: path.index(TORCH_CROSS_ATTENTION)])
        # `_modules` may hold names with dots, whose parents do not exist.
        return isinstance(modules.get(parent), nn.TransformerDecoderLayer)
    return any(part in name.lower() for part in CROSS_ATTENTION)


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
        evidence = f"{found}; config.json does not say whether they should"
        if shared:
            return passed(*TIED, evidence)
        return not_checkable(*TIED, f"{evidence}: write tie_word_embeddings into it")
    return judged(
        *TIED, shared == configured, f"{found}; tie_word_embeddings is {str(configured).lower()}"
    )
