"""Estimate what fine-tuning a larger GPT-2 on several GPUs takes: memory, time and money.

    python -m gpt2_finetune.cost                            # gpt2-xl on 8 H100s
    python -m gpt2_finetune.cost --base gpt2-large --gpus 2 --memory 24 --peak 71 --price 0.5

Sizes are computed from the model's shape, and its activations are counted in a forward pass through
two of its layers.  Speeds and prices are options, because they depend on what you rent: the default
utilization is an assumption, and not a measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from compare import cli


@dataclass(frozen=True)
class CostOptions:
    """Estimate memory, time and money of fine-tuning a GPT-2 on several GPUs."""

    base: Literal["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"] = "gpt2-xl"
    """The GPT-2 model to fine-tune."""
    gpus: int = 8
    """Number of GPUs; each gets one row of 1,024 tokens per step."""
    epochs: int = 3
    """Passes over the training split of Tiny Shakespeare."""
    memory: float = 79.0
    """Memory of one GPU in GiB; an H100 of 80 GB reports 79."""
    peak: float = 989.0
    """Peak speed of one GPU in TFLOP/s, in bf16 without sparsity; 989 is an H100's."""
    utilization: float = 0.3
    """Fraction of the peak that training reaches."""
    disk: float = 1.0
    """Speed at which checkpoints are written in GB/s."""
    price: float = 3.0
    """Price of one GPU for one hour, in any currency."""

    def __post_init__(self) -> None:
        cli.check(self, "gpus", 1, 100_000)
        cli.check(self, "epochs", 1, 1000)
        for name in ("memory", "peak", "disk"):
            cli.check(self, name, 0.001, 1e6)
        cli.check(self, "utilization", 0.001, 1)
        cli.check(self, "price", 0, 1e6)


if __name__ == "__main__":
    options = cli.parse(CostOptions)


import math

import torch
from transformers import AutoModelForCausalLM, GPT2Config

from compare.ruler.flops import training_flops
from compare.wording import counted
from gpt2_finetune.base import with_dropout
from gpt2_finetune.config import FinetuneOptions
from gpt2_finetune.fast_forward import CHUNK_TOKENS, use_fast_kernels

GIB = 2**30
ROW = 1024  # tokens: GPT-2's context length
EPOCH_TOKENS = 301_966  # of Tiny Shakespeare's first 90%, as nanoGPT's prepare.py counts them
# (layers, heads, width) of the published models.
SHAPES = {
    "gpt2": (12, 12, 768),
    "gpt2-medium": (24, 16, 1024),
    "gpt2-large": (36, 20, 1280),
    "gpt2-xl": (48, 25, 1600),
}
# Bytes for each weight.  Training keeps fp32 weights, and uses bf16 copies of them in products.
WEIGHT, GRADIENT, ADAM, BF16_COPY = 4, 4, 8, 2
ROOM = 0.9  # of the memory; CUDA itself, communication and fragmentation need the rest
COPIED_GRADIENT = 4  # DistributedDataParallel copies gradients to the buffers that it sends


@dataclass(frozen=True)
class Size:
    """What a model needs in training."""

    parameters: int
    layer_parameters: int
    layers: int
    width: int
    activation_bytes: float  # kept by one layer for the backward pass, for each token
    loss_bytes: int  # logits of a chunk of tokens, their softmax and its gradient
    flops_per_token: float

    def kept_bytes(self, checkpointing: bool) -> float:
        """Return the bytes kept for the backward pass of one row."""
        if not checkpointing:
            return ROW * self.layers * self.activation_bytes + self.loss_bytes
        inputs = ROW * self.layers * self.width * 4  # of each layer, fp32
        return inputs + ROW * self.activation_bytes + self.loss_bytes  # one layer is recomputed

    def replicated_bytes(self, checkpointing: bool, gpus: int) -> float:
        """Return the bytes on each GPU if each has a copy of the model."""
        each = WEIGHT + GRADIENT + ADAM + BF16_COPY + (COPIED_GRADIENT if gpus > 1 else 0)
        return each * self.parameters + self.kept_bytes(checkpointing)

    def sharded_bytes(self, checkpointing: bool, gpus: int) -> float:
        """Return the bytes on each GPU if they share the model.

        The embeddings are gathered for the whole step; layers are gathered one at a time, and the
        next one is prefetched.  The bf16 copies of a layer's weights are kept for the backward
        pass, unless it is recomputed.
        """
        embeddings = self.parameters - self.layers * self.layer_parameters
        gathered = embeddings + 2 * self.layer_parameters
        return (
            (WEIGHT + GRADIENT + ADAM) * self.parameters / gpus
            + (WEIGHT + GRADIENT) * gathered
            + BF16_COPY * (gathered if checkpointing else self.parameters)
            + self.kept_bytes(checkpointing)
        )


def size_of(base: str) -> Size:
    """Return the size of a published GPT-2, without loading its weights.

    Everything is linear in the number of layers, so it is computed from models of one and two.
    """
    layers, heads, width = SHAPES[base]
    parameters, flops = [], []
    for count in (1, 2):
        config = GPT2Config(n_layer=count, n_head=heads, n_embd=width)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        parameters.append(model.num_parameters())
        flops.append(training_flops(model, 1))
    layer_parameters = parameters[1] - parameters[0]
    return Size(
        parameters=parameters[0] + (layers - 1) * layer_parameters,
        layer_parameters=layer_parameters,
        layers=layers,
        width=width,
        activation_bytes=width * count_activation_bytes(),
        loss_bytes=3 * 4 * CHUNK_TOKENS * config.vocab_size,
        flops_per_token=flops[0] + (layers - 1) * (flops[1] - flops[0]),
    )


def count_activation_bytes(heads: int = 2) -> float:
    """Return the bytes for each token and channel that a layer keeps for the backward pass in bf16.

    They are counted in forward passes of a narrow model, with one and with two layers, and with two
    lengths: their differences leave out what does not depend on both, such as the loss and the
    copies of weights.  All GPT-2 models have heads of 64 channels.
    """
    width = 64 * heads
    short, long = 64, 128
    counts = {
        (layers, tokens): _count_saved_bytes(width, heads, layers, tokens)
        for layers in (1, 2)
        for tokens in (short, long)
    }
    per_layer = {tokens: counts[2, tokens] - counts[1, tokens] for tokens in (short, long)}
    return (per_layer[long] - per_layer[short]) / (long - short) / width


def _count_saved_bytes(width: int, heads: int, layers: int, tokens: int) -> int:
    config = GPT2Config(
        n_layer=layers, n_head=heads, n_embd=width, vocab_size=256, bos_token_id=0, eos_token_id=0
    )
    model = AutoModelForCausalLM.from_config(with_dropout(config, 0.0), dtype=torch.float32)
    use_fast_kernels(model)
    model.train()
    weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.zeros(1, tokens, dtype=torch.long)
    with (
        torch.autocast("cpu", torch.bfloat16),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        loss = model(
            input_ids=ids, labels=ids, shift_labels=ids, num_items_in_batch=torch.tensor(tokens)
        ).loss
    del loss  # until here, it has kept the saved tensors alive, each at its own address
    return sum(saved.values())


def estimate(options: CostOptions) -> None:
    """Print the estimate."""
    size, gpus = size_of(options.base), options.gpus
    with_rows = f"{counted(gpus, 'GPU')} with one row {'each ' if gpus > 1 else ''}per step"
    print(f"{options.base}: {size.parameters:,} parameters, {with_rows}")
    print(
        f"torchrun --nproc-per-node {gpus} -m gpt2_finetune.train --base {options.base} "
        f"--batch-tokens {ROW * gpus}"
    )
    print(f"{'':46}GiB on each GPU")
    layouts = {
        "a copy of the model on each GPU (torchrun)": size.replicated_bytes,
        "the model shared by all (fsdp.yaml)": size.sharded_bytes,
    }
    for label, needed in layouts.items():
        for checkpointing in (False, True):
            gib = needed(checkpointing, gpus) / GIB
            verdict = f"more than {options.memory:g}"
            if gib < options.memory:
                verdict = "fits" if gib < ROOM * options.memory else "fits barely or not"
            print(f"{label:46}{gib:9.1f}   {verdict}")
            label = "  with --gradient-checkpointing"

    steps = math.ceil(EPOCH_TOKENS / (ROW * gpus))
    flops = EPOCH_TOKENS * size.flops_per_token
    training = flops / (gpus * options.peak * 1e12 * options.utilization)
    checkpoints = math.ceil(steps / FinetuneOptions.checkpoint_steps)  # the last ends the epoch
    writing = checkpoints * (WEIGHT + ADAM) * size.parameters / (options.disk * 1e9)
    hours = options.epochs * (training + writing) / 3600
    print(f"an epoch: {EPOCH_TOKENS:,} tokens, {counted(steps, 'step')}, {flops:.2g} FLOP")
    print(f"  training, at {options.utilization:.0%} of {options.peak:g} TFLOP/s: {training:.1f} s")
    print(f"  writing checkpoints ({checkpoints}), at {options.disk:g} GB/s: {writing:.1f} s")
    print(
        f"{counted(options.epochs, 'epoch')}: {60 * hours:.1f} minutes, "
        f"{hours * gpus * options.price:.2f} at {options.price:g} per GPU and hour"
    )
    print(
        "not counted: communication between GPUs, AdamW's update, recomputation (a third more with "
        "--gradient-checkpointing), starting up, evaluation and samples; with one row per GPU, the "
        "first two can take longer than the matrix products"
    )


if __name__ == "__main__":
    cli.run(estimate, options)
