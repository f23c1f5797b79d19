"""Measure the training speed of this track with GPT-2's and SmolLM2's full shapes, as ratios.

    python -m gpt2_finetune.bench

Both sides are the transformers Trainer with the same random weights, text and batch size: one with
the library's defaults (fp32, dropout in attention, all logits at once), one configured as in this
track.  Each figure is the fastest step, because other load on the machine can only slow one down.
"""

from __future__ import annotations

import tempfile
import time
from copy import deepcopy
from dataclasses import dataclass

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
    TrainingArguments,
)
from transformers.utils import logging

from compare.device import choose_device
from compare.ruler.flops import count_parameters, training_flops
from compare.runs.record import Parameters
from gpt2_finetune import defaults
from gpt2_finetune.base import with_dropout
from gpt2_finetune.fast_forward import use_fast_kernels

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


def bench(options: BenchOptions) -> None:
    """Measure both sides with each shape and a matrix product, and print the results."""
    logging.set_verbosity_error()
    device = choose_device()
    precision = defaults.precision(device)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    print(f"device                        {device.type}, {torch.get_num_threads()} threads")
    for name, config in SHAPES.items():
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(with_dropout(deepcopy(config), 0.0))
        use_fast_kernels(model)
        tokens = ROWS * COLUMNS
        parameters = Parameters(**count_parameters(model))
        micro_batches = defaults.accumulation(parameters, device, ROWS)
        flops = training_flops(model, tokens)
        ours = _fastest_step(model, options.steps, micro_batches, bf16=precision == "bf16")
        del model
        peak = _product_speed(dtype)
        torch.manual_seed(1)
        default = _fastest_step(AutoModelForCausalLM.from_config(config), options.steps)
        print(f"{name}, {flops / tokens / 1e9:.2f} GFLOP per token")
        print(f"  matrix product, {precision}        {peak / 1e9:.0f} GFLOP/s (2048 x 2048)")
        print(
            f"  this track, {precision}            {tokens / ours:.0f} tokens/s, "
            f"{flops / ours / 1e9:.0f} GFLOP/s = {flops / ours / peak:.0%} of it"
        )
        print(
            f"  Trainer with its defaults   {tokens / default:.0f} tokens/s; "
            f"this track is {default / ours:.2f} times as fast"
        )


def _fastest_step(model: Any, steps: int, micro_batches: int = 1, **settings: Any) -> float:
    """Return the seconds of the fastest training step, optimizer update included."""
    torch.manual_seed(1)
    ids = torch.randint(model.config.vocab_size, (steps * ROWS, COLUMNS))
    columns = {"input_ids": ids, "labels": ids, "shift_labels": ids}
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model,
            TrainingArguments(
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
    return min(clock.seconds)


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
