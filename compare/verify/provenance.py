"""Was a model trained from scratch?  Its tokenizer, its shape and its embeddings tell.

Weights cannot prove that they were never anything else.  But a pretrained model brings its
tokenizer along, because its embeddings are of no use with another: tokens that the training text
could not have taught give it away, and so do the shape of a known model and weights that are close
to it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from compare.verify.known_models import SHAPES, Shape, weights_of
from compare.verify.points import Point, failed, not_checkable, passed
from compare.verify.structure import named_modules, named_parameters

FROM_SCRATCH = ("from-scratch", "Trained from scratch")
TOKENS = 2000  # as many tokens of a large vocabulary are looked up in the training text
OWN_SHARE = 0.9  # of a tokenizer's tokens, if it was trained on this text
# Cosine of all embeddings: fine-tuning leaves it near 1, and independent training near 0.
SIMILAR = 0.5


@dataclass(frozen=True)
class Vocabulary:
    """How many of a tokenizer's tokens occur in the training text."""

    looked_up: int
    found: int

    @property
    def is_of_the_text(self) -> bool:
        """Whether the tokenizer may have been trained on the text."""
        return self.found >= OWN_SHARE * self.looked_up

    def __str__(self) -> str:
        if not self.looked_up:
            return "no token of its tokenizer has two or more characters"
        return f"{self.found:,} of {self.looked_up:,} tokens occur in the training split"


def adapted_model(folder: Path) -> str | None:
    """Return the name of the base if `folder` holds an adapter, such as LoRA's; None otherwise."""
    path = folder / "adapter_config.json"
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        config = None
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    return str(base or "a pretrained model")


def check_provenance(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, train: str
) -> Point:
    """Look for signs that a model that is said to be trained from scratch was not.

    `train` is the training split.
    """
    shape = shape_of(model)
    vocabulary = look_up_tokens(tokenizer, train)
    if shape is None:
        return not_checkable(*FROM_SCRATCH, f"the shape of the model is not known; {vocabulary}")
    layout = f"depth {shape.layers}, width {shape.width}, {shape.vocabulary:,} tokens"
    alike = [name for name, base in SHAPES.items() if shape.may_come_from(base)]
    possible: list[str] = []
    other_embeddings: list[str] = []
    for name in alike:
        similarity = similarity_to(name, model)
        if similarity is not None and similarity > SIMILAR:
            return failed(
                *FROM_SCRATCH,
                f"its embeddings are those of {name} (cosine {similarity:.3f}): it started there",
            )
        if similarity is not None and similarity <= SIMILAR:
            other_embeddings.append(f"{name}, but other embeddings (cosine {similarity:.3f})")
        else:
            possible.append(name)
    if possible and not vocabulary.is_of_the_text:
        return failed(
            *FROM_SCRATCH,
            f"it has the shape of {possible[0]} ({layout}), and a tokenizer that was not trained "
            f"on this text: only {vocabulary}",
        )
    if alike:
        # Also with other embeddings: those of a pretrained model may have been replaced.
        of_which = (possible or other_embeddings)[0]
        return not_checkable(
            *FROM_SCRATCH,
            f"it has the shape of {of_which} ({layout}; {vocabulary}): ask how it was trained",
        )
    if not vocabulary.is_of_the_text:
        return not_checkable(
            *FROM_SCRATCH,
            f"its tokenizer was not trained on this text: only {vocabulary}; ask where it and the "
            "weights come from",
        )
    return passed(
        *FROM_SCRATCH,
        f"no sign of a pretrained model: {vocabulary}, and none of {len(SHAPES)} known models has "
        f"its shape ({layout})",
    )


def shape_of(model: PreTrainedModel) -> Shape | None:
    """Return the shape as the weights show it, whatever config.json says; None if it is unclear."""
    embeddings = _embeddings(model)
    if embeddings is None:
        return None
    names = list(named_parameters(model))
    numbers = [int(match[1]) for name in names if (match := re.search(r"\.(\d+)\.", name))]
    vocabulary, width = embeddings.shape
    return Shape(vocabulary, width, layers=len(set(numbers)))


def look_up_tokens(tokenizer: PreTrainedTokenizerBase, train: str) -> Vocabulary:
    """Look up the tokens of two or more characters in the training text `train`."""
    special = set(tokenizer.all_special_ids)
    ids = np.linspace(0, len(tokenizer) - 1, min(TOKENS, len(tokenizer))).astype(int).tolist()
    texts = [str(tokenizer.decode([id])) for id in ids if id not in special]
    # Parts of characters are decoded as replacement characters.
    texts = [text for text in texts if len(text) > 1 and "\N{REPLACEMENT CHARACTER}" not in text]
    return Vocabulary(len(texts), sum(text in train for text in texts))


def similarity_to(name: str, model: PreTrainedModel) -> float | None:
    """Return the largest cosine of the model's token embeddings with a table of `name`.

    `name` is a known model; its output matrix may be another table of the same shape.  Return None
    if its weights are not on this machine.
    """
    path, own = weights_of(name), _embeddings(model)
    if path is None or own is None:
        return None
    shape = (SHAPES[name].vocabulary, SHAPES[name].width)
    ours = own[: shape[0]].cpu().float().flatten()
    cosines = []
    with safe_open(path, "pt") as file:
        for key in file.keys():
            if tuple(file.get_slice(key).get_shape()) == shape:
                theirs = file.get_tensor(key).float().flatten()
                cosines.append(float(torch.cosine_similarity(ours, theirs, dim=0)))
    return max(cosines, default=None)


def _embeddings(model: PreTrainedModel) -> Tensor | None:
    """Return the token embeddings, (vocabulary, width)."""
    try:
        weight = model.get_input_embeddings().weight
    except Exception:  # code of the hand-in
        weight = None
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        tables = [each for each in named_modules(model).values() if isinstance(each, nn.Embedding)]
        weight = max((each.weight for each in tables), key=lambda each: len(each), default=None)
    return None if weight is None else weight.detach()
