"""Measure the speed of training and generation in the scratch track, as ratios.

    python -m scratch_lm.bench

Each figure is the best of several repetitions, because other load on the machine can only slow one
down.  Training is measured on steps on text alone: every third step of `tuned` has one more row, a
drill (`scratch_lm/copy_exercises.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import Any, cast

from compare import cli


@dataclass(frozen=True)
class BenchOptions:
    """Measure training and generation speed of the tuned preset."""

    repetitions: int = 5
    """Repetitions of each measurement; the fastest counts."""
    compile: bool = False
    """Also measure training steps compiled by torch.compile.  This takes some minutes longer, and
    on a CPU it needs a C++ compiler."""

    def __post_init__(self) -> None:
        cli.check(self, "repetitions", 1, 1000)


if __name__ == "__main__":
    options = cli.parse(BenchOptions)


import torch
from torch import nn
from transformers import set_seed

from compare.freed_memory import keep_freed_memory
from compare.ruler.flops import training_flops
from scratch_lm.batches import Batch
from scratch_lm.config import PRESETS, ScratchOptions
from scratch_lm.model import ScratchLM
from scratch_lm.muon import BatchedMuon
from scratch_lm.optimizer import make_optimizers, select_matrices
from scratch_lm.reference_loops import make_gpt_training, make_textbook_training
from scratch_lm.train import build_model, train_step

STEPS = 10
NEW_TOKENS = 256
WITHOUT_ANY_FEATURE = "  without any feature"
# What `tuned` adds to a GPT, taken away: first Muon, then features of its model as well.
PLAINER: dict[str, dict[str, Any]] = {
    "tuned with AdamW": {"optimizer": "adamw"},
    "  without distance bias": {"optimizer": "adamw", "distance_bias": False},
    "  without convolutions": {"optimizer": "adamw", "convolutions": False},
    WITHOUT_ANY_FEATURE: {
        "optimizer": "adamw",
        "distance_bias": False,
        "smeared_keys": False,
        "convolutions": False,
        "query_key_norm": False,
        "embedding_skips": False,
    },
}
BATCH_SIZES = (1, 32)  # for generation; with one text, most of the time is call overhead


def bench(options: BenchOptions) -> None:
    """Measure everything and print the results."""
    preset = ScratchOptions(preset="tuned", **PRESETS["tuned"])
    set_seed(1)
    model = build_model(preset, end_of_text_id=0)
    rows = STEPS * preset.batch_size
    ids = torch.randint(preset.vocabulary, (rows, preset.context_length + 1))
    data = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    tokens = data[0].numel()

    variants = make_variants(preset, data, options.compile)
    matrix = torch.randn(1024, 1024)
    workloads: dict[Any, Callable[[], object]] = {
        "peak": lambda: [matrix @ matrix for _ in range(20)],
        "ours": make_training(model, preset, data),
        "textbook": make_textbook_training(preset, data),
        "GPT": make_gpt_training(preset, data),
        **variants,
        "muon": make_muon_step(model, BatchedMuon),
        "torch": make_muon_step(model, torch.optim.Muon),
        **{
            (texts, cached): partial(generate, model, texts, cached)
            for texts in BATCH_SIZES
            for cached in (True, False)
        },
    }
    seconds = measure_fastest(workloads, options.repetitions)

    peak = 20 * 2 * 1024**3 / seconds["peak"]
    speed = training_flops(model, tokens) / seconds["ours"]
    print(f"threads                          {torch.get_num_threads()}")
    print(f"matrix product, fp32             {peak / 1e9:.0f} GFLOP/s (1024 x 1024)")
    print(
        f"training, tuned                  {speed / 1e9:.0f} GFLOP/s = {speed / peak:.0%} of it; "
        f"{tokens / seconds['ours']:,.0f} tokens/s"
    )
    print(
        f"training, textbook loop          {tokens / seconds['textbook']:,.0f} tokens/s; "
        f"tuned is {seconds['textbook'] / seconds['ours']:.2f} times as fast"
    )
    print(
        f"training, GPT of nanoGPT's shape {tokens / seconds['GPT']:,.0f} tokens/s; tuned is "
        f"{seconds['GPT'] / seconds['ours']:.2f} times as fast"
    )
    for label in variants:
        print(
            f"{label:<33}{tokens / seconds[label]:,.0f} tokens/s; "
            f"{seconds['GPT'] / seconds[label]:.2f} times as fast as the GPT, in "
            f"{seconds[label] / seconds['ours']:.0%} of the time of tuned"
        )
    print(
        f"Muon's update of all matrices    {1000 * seconds['muon']:.0f} ms; torch.optim.Muon, in "
        f"bf16: {1000 * seconds['torch']:.0f} ms"
    )
    print_page_faults(options.repetitions)
    for texts in BATCH_SIZES:
        cached, recomputed = seconds[texts, True], seconds[texts, False]
        print(
            f"{NEW_TOKENS} new tokens, {f'texts: {texts}':<18}"
            f"{cached:.2f} s cached, {recomputed:.2f} s recomputed; cached is "
            f"{recomputed / cached:.1f} times as fast"
        )


def print_page_faults(repetitions: int) -> None:
    """Print page faults and the fastest step, with and without keeping freed memory.

    Each setting is measured in a new process, because it cannot be undone within one.
    """
    context = get_context("spawn")
    for keep, label in ((True, "kept"), (False, "returned")):
        with ProcessPoolExecutor(1, context) as process:
            measured = process.submit(measure_page_faults, keep, repetitions).result()
        if measured is None:
            print("freed memory                     cannot be kept with this C library")
            return
        faults, fastest_step = measured
        print(
            f"{f'freed memory {label}':<33}{faults:,} page faults per step, "
            f"{1000 * fastest_step:.0f} ms"
        )


def measure_page_faults(keep: bool, repetitions: int) -> tuple[int, float] | None:
    """Return (page faults per training step of `tuned`, seconds of the fastest step).

    Return None if `keep` is set and the C library cannot keep freed memory.
    """
    if keep and not keep_freed_memory():
        return None
    import resource  # not available on Windows, which has already returned above

    preset = ScratchOptions(preset="tuned", **PRESETS["tuned"])
    model = build_model(preset, end_of_text_id=0).train()
    model_optimizers = make_optimizers(model, preset)
    ids = torch.randint(preset.vocabulary, (preset.batch_size, preset.context_length + 1))
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    seconds = []
    steps = STEPS * repetitions
    for number in range(STEPS + steps):
        if number == STEPS:  # the steps before this one are a warm-up
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        began = time.perf_counter()
        # The targets are also passed as positions: all are >= 0, so all count as text.
        train_step(model, model_optimizers, Batch(inputs, targets, targets))
        seconds.append(time.perf_counter() - began)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return round(faults / steps), min(seconds[STEPS:])


def measure_fastest(
    workloads: dict[Any, Callable[[], object]], repetitions: int
) -> dict[Any, float]:
    """Return the seconds of each workload's fastest repetition, not counting one warm-up.

    The workloads take turns, so that load on the machine affects all of them.
    """
    best = dict.fromkeys(workloads, float("inf"))
    for repetition in range(repetitions + 1):
        for name, workload in workloads.items():
            began = time.perf_counter()
            workload()
            if repetition:
                best[name] = min(best[name], time.perf_counter() - began)
    return best


def make_variants(
    preset: ScratchOptions, data: tuple[torch.Tensor, torch.Tensor], compile: bool
) -> dict[str, Callable[[], None]]:
    """Return functions that run training steps: PLAINER's and, with `compile`, compiled ones."""
    presets = {label: replace(preset, **changes) for label, changes in PLAINER.items()}
    variants = {
        label: make_training(build_model(plainer, end_of_text_id=0), plainer, data)
        for label, plainer in presets.items()
    }
    if compile:
        presets["tuned"] = preset
        for label in ("tuned", WITHOUT_ANY_FEATURE):
            model = build_model(presets[label], end_of_text_id=0)
            variants[f"{label}, compiled"] = make_training(model, presets[label], data, compile)
        variants["GPT, compiled"] = make_gpt_training(preset, data, compile)
    return variants


def make_training(
    model: ScratchLM,
    preset: ScratchOptions,
    data: tuple[torch.Tensor, torch.Tensor],
    compile: bool = False,
) -> Callable[[], None]:
    """Return a function that runs this package's training steps on `data`.

    With `compile`, torch.compile compiles the model in the first step, as `--compile` does in
    training.  `keep_freed_memory` affects the whole process, so the other workloads benefit from it
    as well.
    """
    keep_freed_memory()
    model_optimizers = make_optimizers(model, preset)
    network = cast(nn.Module, torch.compile(model)) if compile else model
    batches = list(zip(*(tensor.split(preset.batch_size) for tensor in data), strict=True))

    def train() -> None:
        model.train()
        for inputs, targets in batches:
            train_step(network, model_optimizers, Batch(inputs, targets, targets))

    return train


def make_muon_step(model: ScratchLM, muon: type[torch.optim.Muon]) -> Callable[[], None]:
    """Return a function that updates copies of the model's matrices once with a Muon."""
    matrices = [nn.Parameter(each.detach().clone()) for each in select_matrices(model)]
    for matrix in matrices:
        matrix.grad = torch.randn_like(matrix)
    optimizer = muon(matrices, lr=1e-3)
    return lambda: optimizer.step()


@torch.inference_mode()
def generate(model: ScratchLM, texts: int, use_cache: bool) -> None:
    """Generate NEW_TOKENS tokens after a full context, for `texts` texts in one batch."""
    model.eval()
    prompt = torch.ones(texts, model.config.max_position_embeddings, dtype=torch.long)
    cast(Any, model).generate(  # PreTrainedModel's type hints lack `generate`
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=False,
        use_cache=use_cache,
        min_new_tokens=NEW_TOKENS,
        max_new_tokens=NEW_TOKENS,
        pad_token_id=0,
    )


if __name__ == "__main__":
    cli.run(bench, options)
