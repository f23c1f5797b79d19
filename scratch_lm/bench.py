"""How fast the scratch track trains and writes, as ratios that one run measures.

    python -m scratch_lm.bench

Each figure is the best of several repetitions: other work on the machine only makes it worse.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from compare import cli


@dataclass(frozen=True)
class BenchOptions:
    """Measure training and generation of the scratch track's tuned preset."""

    repetitions: int = 5
    """Times that each figure is measured; the best counts."""

    def __post_init__(self) -> None:
        cli.check(self, "repetitions", 1, 1000)


if __name__ == "__main__":
    options = cli.parse(BenchOptions)


import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import set_seed

from compare.ruler.flops import training_flops
from scratch_lm.config import PRESETS, ScratchOptions
from scratch_lm.malloc import keep_freed_memory
from scratch_lm.model import ScratchLM
from scratch_lm.optimizer import optimizers
from scratch_lm.train import build, step

STEPS = 10
NEW_TOKENS = 256
TEXTS = (1, 32)  # written at once: a single one is mostly the cost of calling layers


class TextbookLM(nn.Module):
    """What tutorials build of `nn.TransformerDecoder`: its defaults, and itself as memory."""

    def __init__(self, options: ScratchOptions) -> None:
        super().__init__()
        self.tokens = nn.Embedding(options.vocabulary, options.width)
        self.positions = nn.Embedding(options.context_length, options.width)
        layer = nn.TransformerDecoderLayer(
            options.width, options.heads, options.feed_forward, batch_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, options.layers)
        self.head = nn.Linear(options.width, options.vocabulary)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits (batch, time, vocabulary) for ids (batch, time)."""
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        return self.head(self.decoder(x, x, tgt_mask=mask, memory_mask=mask))


def bench(options: BenchOptions) -> None:
    preset = ScratchOptions(preset="tuned", **PRESETS["tuned"])
    set_seed(1)
    model = build(preset, end_of_text=0)
    rows = STEPS * preset.batch_size
    ids = torch.randint(preset.vocabulary, (rows, preset.context_length + 1))
    data = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    tokens = data[0].numel()

    matrix = torch.randn(1024, 1024)
    contests = {
        "peak": lambda: [matrix @ matrix for _ in range(20)],
        "ours": training(model, preset, data),
        "textbook": textbook_training(preset, data),
        **{
            (rows, cached): lambda rows=rows, cached=cached: write(model, rows, cached)
            for rows in TEXTS
            for cached in (True, False)
        },
    }
    seconds = fastest(contests, options.repetitions)

    peak = 20 * 2 * 1024**3 / seconds["peak"]
    speed = training_flops(model, tokens) / seconds["ours"]
    print(f"threads                          {torch.get_num_threads()}")
    print(f"matrix product, fp32             {peak / 1e9:.0f} GFLOP/s (1024 x 1024)")
    print(f"training, tuned                  {speed / 1e9:.0f} GFLOP/s = {speed / peak:.0%} of it; "
          f"{tokens / seconds['ours']:,.0f} tokens/s")  # fmt: skip
    print(f"training, textbook loop          {tokens / seconds['textbook']:,.0f} tokens/s; "
          f"tuned is {seconds['textbook'] / seconds['ours']:.2f} times as fast")  # fmt: skip
    print_page_faults(options.repetitions)
    for rows in TEXTS:
        cached, recomputed = seconds[rows, True], seconds[rows, False]
        print(f"{NEW_TOKENS} new tokens, {f'texts: {rows}':<18}"
              f"{cached:.2f} s cached, {recomputed:.2f} s recomputed; cached is "
              f"{recomputed / cached:.1f} times as fast")  # fmt: skip


def print_page_faults(repetitions: int) -> None:
    """What keeping freed memory saves: page faults and the fastest step, with and without it.

    Each figure comes from a process of its own, since the setting cannot be undone in one.
    """
    context = get_context("spawn")
    for keep, label in ((True, "kept"), (False, "returned")):
        with ProcessPoolExecutor(1, context) as process:
            measured = process.submit(measure_page_faults, keep, repetitions).result()
        if measured is None:
            print("freed memory                     this C library does not keep it on request")
            return
        faults, fastest_step = measured
        print(f"{f'freed memory {label}':<33}{faults:,} page faults a step, "
              f"{1000 * fastest_step:.0f} ms")  # fmt: skip


def measure_page_faults(keep: bool, repetitions: int) -> tuple[int, float] | None:
    """(page faults per training step of `tuned`, seconds of the fastest step).

    None where freed memory is to be kept and the C library does not do that.
    """
    if keep and not keep_freed_memory():
        return None
    import resource  # not on Windows, whose C library has answered above

    preset = ScratchOptions(preset="tuned", **PRESETS["tuned"])
    model = build(preset, end_of_text=0).train()
    made = optimizers(model, preset)
    ids = torch.randint(preset.vocabulary, (preset.batch_size, preset.context_length + 1))
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    seconds = []
    steps = STEPS * repetitions
    for number in range(STEPS + steps):
        if number == STEPS:  # the ones before warm up
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        began = time.perf_counter()
        step(model, made, inputs, targets, targets)
        seconds.append(time.perf_counter() - began)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return round(faults / steps), min(seconds[STEPS:])


def fastest(contests: dict[Any, Callable[[], object]], repetitions: int) -> dict[Any, float]:
    """Seconds of each contest's best repetition, after one to warm up; they take turns."""
    best = dict.fromkeys(contests, float("inf"))
    for repetition in range(repetitions + 1):
        for name, work in contests.items():
            began = time.perf_counter()
            work()
            if repetition:
                best[name] = min(best[name], time.perf_counter() - began)
    return best


def training(
    model: ScratchLM, preset: ScratchOptions, data: tuple[torch.Tensor, torch.Tensor]
) -> Callable[[], None]:
    """The package's own steps.  What they do with freed memory, the other contests profit from."""
    keep_freed_memory()
    made = optimizers(model, preset)
    batches = list(zip(*(part.split(preset.batch_size) for part in data), strict=True))

    def train() -> None:
        model.train()
        for inputs, targets in batches:
            step(model, made, inputs, targets, targets)

    return train


def textbook_training(
    preset: ScratchOptions, data: tuple[torch.Tensor, torch.Tensor]
) -> Callable[[], None]:
    """A tutorial's steps on a model of the same width, depth, context and batch."""
    model = TextbookLM(preset)
    optimizer = torch.optim.AdamW(model.parameters(), lr=preset.learning_rate)
    loader = DataLoader(TensorDataset(*data), batch_size=preset.batch_size, shuffle=True)
    loss_function = nn.CrossEntropyLoss()

    def train() -> None:
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = loss_function(model(inputs).flatten(0, 1), targets.flatten())
            loss.backward()
            optimizer.step()
            loss.item()

    return train


@torch.inference_mode()
def write(model: ScratchLM, rows: int, use_cache: bool) -> None:
    """NEW_TOKENS more after a full context, of so many texts at once."""
    model.eval()
    prompt = torch.ones(rows, model.config.max_position_embeddings, dtype=torch.long)
    model.generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=False, use_cache=use_cache,
        min_new_tokens=NEW_TOKENS, max_new_tokens=NEW_TOKENS, pad_token_id=0,
    )  # fmt: skip


if __name__ == "__main__":
    cli.run(bench, options)
