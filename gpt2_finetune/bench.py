"""Measure the training speed of this track with GPT-2's and SmolLM2's full shapes, as ratios.

    python -m gpt2_finetune.bench

Both sides are the transformers Trainer with the same random weights, text and batch size: one with
the library's defaults (fp32, dropout in attention, all logits at once), one configured as in this
track.  Each trains in a process of its own.  The speed is that of the fastest step, because other
load on the machine can only slow one down.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from multiprocessing import get_context

from compare import cli


@dataclass(frozen=True)
class BenchOptions:
    """Measure training of GPT-2 (124 M) and SmolLM2 (135 M) with random weights; needs 12 GiB."""

    steps: int = 4
    """Training steps of 2 x 1,024 tokens per side; the fastest counts."""

    def __post_init__(self) -> None:
        cli.check(self, "steps", 1, 1000)


if __name__ == "__main__":
    options = cli.parse(BenchOptions)


from typing import Any

import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PrinterCallback,
    Trainer,
    TrainerCallback,
)
from transformers.utils import logging

from compare.device import choose_device
from compare.freed_memory import keep_freed_memory
from compare.peak_memory import peak_memory_mb
from compare.ruler.flops import count_parameters, training_flops
from gpt2_finetune import defaults
from gpt2_finetune.base import with_dropout
from gpt2_finetune.fast_forward import use_fast_kernels
from gpt2_finetune.processes import OneGpuArguments

ROWS, COLUMNS = 2, 1024
SHAPES: dict[str, PreTrainedConfig] = {
    "GPT-2": GPT2Config(),
    "SmolLM2-135M": LlamaConfig(
        vocab_size=49_152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    ),
}


class _Clock(TrainerCallback):
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self.began)


@dataclass(frozen=True)
class Measured:
    """What one side needs for training steps of `ROWS` x `COLUMNS` tokens."""

    seconds: float
    """Of the fastest step, with the update of the weights."""
    flops: float
    """Floating-point operations of a step."""
    peak_memory_gib: float
    """Of the GPU, or else of the whole process."""


def bench(options: BenchOptions) -> None:
    """Measure both sides with each shape and a matrix product, and print the results."""
    device = choose_device()
    precision = defaults.precision(device)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    tokens = ROWS * COLUMNS
    print(f"device                        {device.type}, {torch.get_num_threads()} threads")
    for name in SHAPES:
        ours = _in_new_process(measure_this_track, name, options.steps)
        peak = _product_speed(dtype)
        default = _in_new_process(measure_defaults, name, options.steps)
        speed = ours.flops / ours.seconds
        print(f"{name}, {ours.flops / tokens / 1e9:.2f} GFLOP per token")
        print(f"  matrix product, {precision}        {peak / 1e9:.0f} GFLOP/s (2048 x 2048)")
        print(
            f"  this track, {precision}            {tokens / ours.seconds:.0f} tokens/s, "
            f"{speed / 1e9:.0f} GFLOP/s = {speed / peak:.0%} of it, "
            f"{ours.peak_memory_gib:.1f} GiB"
        )
        print(
            f"  Trainer with its defaults   {tokens / default.seconds:.0f} tokens/s, "
            f"{default.peak_memory_gib:.1f} GiB; "
            f"this track is {default.seconds / ours.seconds:.2f} times as fast"
        )


def _in_new_process(measure: Callable[[str, int], Measured], shape: str, steps: int) -> Measured:
    """Return what `measure` returns in a process that has done nothing else before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(measure, shape, steps).result()


def measure_this_track(shape: str, steps: int) -> Measured:
    """Train a model of `SHAPES` with random weights as `gpt2_finetune.train` does."""
    keep_freed_memory()
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(with_dropout(deepcopy(SHAPES[shape]), 0.0))
    use_fast_kernels(model)
    device = choose_device()
    micro_batches = defaults.accumulation(count_parameters(model), device, ROWS)
    return _train(model, steps, micro_batches, bf16=defaults.precision(device) == "bf16")


def measure_defaults(shape: str, steps: int) -> Measured:
    """Train a model of `SHAPES` with random weights and the defaults of the Trainer."""
    torch.manual_seed(1)
    return _train(AutoModelForCausalLM.from_config(SHAPES[shape]), steps)


def _train(model: Any, steps: int, micro_batches: int = 1, **settings: Any) -> Measured:
    """Train for a few steps; return the time of the fastest one and the peak memory."""
    logging.set_verbosity_error()
    torch.manual_seed(1)
    ids = torch.randint(model.config.vocab_size, (steps * ROWS, COLUMNS))
    columns = {"input_ids": ids, "labels": ids, "shift_labels": ids}
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model,
            OneGpuArguments(
                folder,
                per_device_train_batch_size=ROWS // micro_batches,
                gradient_accumulation_steps=micro_batches,
                max_steps=steps,
                use_cpu=choose_device().type == "cpu",
                save_strategy="no",
                remove_unused_columns=False,
                report_to="none",
                disable_tqdm=True,
                **settings,
            ),
            train_dataset=Dataset.from_dict(columns).with_format("torch"),
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    flops = training_flops(model, ROWS * COLUMNS)
    return Measured(min(clock.seconds), flops, _peak_memory_gib())


def _peak_memory_gib() -> float:
    if choose_device().type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return peak_memory_mb() / 2**10  # which are MiB


def _product_speed(dtype: torch.dtype) -> float:
    """Return the floating-point operations per second of a matrix product."""
    size, seconds = 2048, []
    matrix = torch.randn(size, size, dtype=dtype, device=choose_device())
    for _ in range(20):
        began = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


if __name__ == "__main__":
    cli.run(bench, options)
