"""What `scratch_lm.bench` compares with: a textbook loop, and a GPT of nanoGPT's shape.

Both have the preset's depth, width, heads, context length and batch size.  They learn nothing here:
only the time of their training steps counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from scratch_lm.config import ScratchOptions


class TextbookLM(nn.Module):
    """A language model as in tutorials: `nn.TransformerDecoder` with its input as memory."""

    def __init__(self, options: ScratchOptions) -> None:
        super().__init__()
        self.tokens = nn.Embedding(options.vocabulary, options.width)
        self.positions = nn.Embedding(options.context_length, options.width)
        layer = nn.TransformerDecoderLayer(
            options.width, options.heads, options.feed_forward, batch_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, options.layers)
        self.head = nn.Linear(options.width, options.vocabulary)

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits (batch, time, vocabulary) for ids (batch, time)."""
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        return self.head(self.decoder(x, x, tgt_mask=mask, memory_mask=mask))


def make_textbook_training(
    preset: ScratchOptions, data: tuple[Tensor, Tensor]
) -> Callable[[], None]:
    """Return a function that runs training steps as in tutorials on `data`.

    `data` are inputs and targets, (rows, context length) int64 each.
    """
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


class GPTLayer(nn.Module):
    """Causal self-attention, then a feed-forward network, each after a LayerNorm; no biases."""

    def __init__(self, options: ScratchOptions) -> None:
        super().__init__()
        width, inside = options.width, options.feed_forward
        self.heads = options.heads
        self.attention_norm = nn.LayerNorm(width, bias=False)
        self.attention_in = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.feed_forward_norm = nn.LayerNorm(width, bias=False)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, inside, bias=False), nn.GELU(), nn.Linear(inside, width, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Transform `x`, (batch, time, width), to the same shape."""
        projected = self.attention_in(self.attention_norm(x))
        # Each (batch, heads, time, width / heads).
        queries, keys, values = projected.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        x = x + self.attention_out(attended.transpose(1, 2).flatten(2))
        return x + self.feed_forward(self.feed_forward_norm(x))


class PlainGPT(nn.Module):
    """A GPT of nanoGPT's shape: learned positions, pre-norm layers and tied embeddings.

    Like nanoGPT, it uses PyTorch's fused attention, which is slower on a CPU if a bias is learned.
    """

    def __init__(self, options: ScratchOptions) -> None:
        super().__init__()
        self.tokens = nn.Embedding(options.vocabulary, options.width)
        self.positions = nn.Embedding(options.context_length, options.width)
        self.layers = nn.Sequential(*(GPTLayer(options) for _ in range(options.layers)))
        self.norm = nn.LayerNorm(options.width, bias=False)
        for each in (self.tokens, self.positions):
            nn.init.normal_(each.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits (batch, time, vocabulary) for ids (batch, time)."""
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        return F.linear(self.norm(self.layers(x)), self.tokens.weight)


def make_gpt_training(
    preset: ScratchOptions, data: tuple[Tensor, Tensor], compile: bool = False
) -> Callable[[], None]:
    """Return a function that runs training steps of a `PlainGPT` on `data`.

    `data` are inputs and targets, (rows, context length) int64 each.  The steps are as fast as
    PyTorch makes them without other kernels: fused AdamW, and gradients clipped all at once.  With
    `compile`, torch.compile compiles the model in the first step.
    """
    model = PlainGPT(preset)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    network = cast(nn.Module, torch.compile(model)) if compile else model
    batches = list(zip(*(tensor.split(preset.batch_size) for tensor in data), strict=True))

    def train() -> None:
        model.train()
        for inputs, targets in batches:
            loss = F.cross_entropy(network(inputs).flatten(0, 1), targets.flatten())
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return train
