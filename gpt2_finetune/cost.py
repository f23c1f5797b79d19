"""Estimate what fine-tuning a larger GPT-2 on several GPUs takes: memory, time and money.

    python -m gpt2_finetune.cost                            # gpt2-xl on 8 H100s
    python -m gpt2_finetune.cost --base gpt2-large --gpus 2 --memory 24 --peak 71 --price 0.5

Sizes are computed from the model's shape, and its activations are counted in a forward pass through
two of its layers.  Speeds and prices are options, because they depend on what you rent: the default
utilization is an assumption, and not a measurement.

The study has the trainings of `python -m compare.plan --full --base BASE`.  They are counted one
after another, each as if it were started with the command shown and trained all weights.  LoRA
trains fewer, and needs torchrun.
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
    """Speed at which weights and checkpoints are read and written in GB/s."""
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
from collections.abc import Callable

import torch
from transformers import AutoModelForCausalLM, GPT2Config

from compare.kinds import Track
from compare.plan import PlanOptions, plan
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
# A training reads the base, and in the end reads and writes the weights of the best epoch.
TRANSFERRED_MODELS = 3


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

        At first, each GPU has all weights of the base, until they are divided.
        """
        embeddings = self.parameters - self.layers * self.layer_parameters
        gathered = embeddings + 2 * self.layer_parameters
        training = (
            (WEIGHT + GRADIENT + ADAM) * self.parameters / gpus
            + (WEIGHT + GRADIENT) * gathered
            + BF16_COPY * (gathered if checkpointing else self.parameters)
            + self.kept_bytes(checkpointing)
        )
        return max(training, WEIGHT * self.parameters)


@dataclass(frozen=True)
class Layout:
    """A way to place the model on several GPUs."""

    label: str
    launcher: str
    """The beginning of the command, before the number of processes."""
    needed_bytes: Callable[[Size, bool, int], float]
    """Returns the bytes on each GPU, with or without gradient checkpointing."""
    checkpoint_bytes: int
    """Bytes that a checkpoint has for each weight."""


REPLICATED = Layout(
    "a copy of the model on each GPU (torchrun)",
    "torchrun --nproc-per-node",
    Size.replicated_bytes,
    WEIGHT + ADAM,
)
SHARDED = Layout(
    "the model shared by all (fsdp.yaml)",
    "accelerate launch --config_file gpt2_finetune/fsdp.yaml --num_processes",
    Size.sharded_bytes,
    # The Trainer writes the weights twice: to model.safetensors, and for FSDP.
    2 * WEIGHT + ADAM,
)


def study_shares(base: str) -> list[float]:
    """Return the share of the training split that each training of the study from `base` reads."""
    steps = [step.arguments for step in plan(PlanOptions(full=True, base=[base]))]
    trainings = [arguments for arguments in steps if arguments[0] == f"{Track.GPT2}.train"]
    return [
        float(arguments[arguments.index("--train-share") + 1])
        if "--train-share" in arguments
        else 1.0
        for arguments in trainings
    ]


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


@dataclass(frozen=True)
class Duration:
    """How long a training takes, in seconds."""

    computing: float
    """Products of matrices."""
    transferring: float
    """Reading and writing weights and checkpoints."""

    @property
    def seconds(self) -> float:
        return self.computing + self.transferring


def duration(options: CostOptions, size: Size, layout: Layout, share: float = 1.0) -> Duration:
    """Return how long training on a share of the text takes."""
    tokens = share * EPOCH_TOKENS
    speed = options.gpus * options.peak * 1e12 * options.utilization
    steps = math.ceil(tokens / (ROW * options.gpus))
    checkpoints = math.ceil(steps / FinetuneOptions.checkpoint_steps)  # the last ends the epoch
    bytes_per_weight = (
        options.epochs * checkpoints * layout.checkpoint_bytes + TRANSFERRED_MODELS * WEIGHT
    )
    return Duration(
        computing=options.epochs * tokens * size.flops_per_token / speed,
        transferring=bytes_per_weight * size.parameters / (options.disk * 1e9),
    )


def estimate(options: CostOptions) -> None:
    """Print the estimate."""
    size, gpus = size_of(options.base), options.gpus
    with_rows = f"{counted(gpus, 'GPU')} with one row {'each ' if gpus > 1 else ''}per step"
    print(f"{options.base}: {size.parameters:,} parameters, {with_rows}")
    print(f"{'':46}GiB on each GPU")
    for layout in (REPLICATED, SHARDED):
        label = layout.label
        for checkpointing in (False, True):
            needed = layout.needed_bytes(size, checkpointing, gpus)
            verdict = f"more than {options.memory:g}"
            if needed < options.memory * GIB:
                verdict = "fits" if fits(needed, options) else "fits barely or not"
            print(f"{label:46}{needed / GIB:9.1f}   {verdict}")
            label = "  with --gradient-checkpointing"

    fitting = [
        layout
        for layout in (REPLICATED, SHARDED)
        if fits(layout.needed_bytes(size, True, gpus), options)
    ]
    if not fitting:
        print("Nothing fits: use more GPUs, or larger ones.")
        return
    layout = fitting[0]
    fits_without_recomputing = fits(layout.needed_bytes(size, False, gpus), options)
    print(
        f"{layout.launcher} {gpus} -m gpt2_finetune.train --base {options.base} "
        f"--batch-tokens {ROW * gpus}"
        f"{'' if fits_without_recomputing else ' --gradient-checkpointing'}"
    )
    if layout is SHARDED:
        gathered = ADAM * size.parameters / GIB
        print(f"  one process gathers {gathered:.1f} GiB in the host's memory for a checkpoint")
    one = duration(options, size, layout)
    print(
        f"  computing, at {options.utilization:.0%} of {options.peak:g} TFLOP/s: "
        f"{one.computing:.1f} s"
    )
    print(
        f"  reading the base, writing checkpoints and the best epoch, at {options.disk:g} GB/s: "
        f"{one.transferring:.1f} s"
    )
    epochs = f"{counted(options.epochs, 'epoch')} of {EPOCH_TOKENS:,} tokens"
    print(f"one training, {epochs}: {_price(options, one.seconds)}")
    shares = study_shares(options.base)
    seconds = sum(duration(options, size, layout, share).seconds for share in shares)
    on_shares = sum(share < 1 for share in shares)
    print(
        f"the study, {counted(len(shares), 'training')} from this base ({on_shares} of them on "
        f"shares of the text): {_price(options, seconds)}"
    )
    print(
        "not counted: communication between GPUs, AdamW's update, recomputation (a third more with "
        "--gradient-checkpointing), starting up, evaluation, samples, checksums, the upload to W&B "
        "and the report; with one row per GPU, the first two can take longer than computing"
    )


def fits(needed: float, options: CostOptions) -> bool:
    """Return whether the bytes `needed` fit on a GPU."""
    return needed < ROOM * options.memory * GIB


def _price(options: CostOptions, seconds: float) -> str:
    """Say how long all GPUs are needed, and what that costs."""
    cost = seconds / 3600 * options.gpus * options.price
    return f"{seconds / 60:.1f} minutes, {cost:.2f} at {options.price:g} per GPU and hour"


if __name__ == "__main__":
    cli.run(estimate, options)
