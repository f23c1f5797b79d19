"""Shapes of well-known pretrained models, and their weights if they are on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

STAND_IN = Path(__file__).parents[2] / "gpt2_finetune" / "offline_base"
ADDED_TOKENS = 64  # fine-tuning often adds a few, for padding or roles


@dataclass(frozen=True)
class Shape:
    """The shape of a language model."""

    vocabulary: int
    width: int
    layers: int

    def may_come_from(self, base: Shape) -> bool:
        """Return whether a model of this shape may be a fine-tuned `base`."""
        added = self.vocabulary - base.vocabulary
        return (self.width, self.layers) == (base.width, base.layers) and 0 <= added <= ADDED_TOKENS


# By name on the Hub, except for this project's own stand-in.
SHAPES = {
    "stand-in-3.7m": Shape(2048, 256, 4),
    "openai-community/gpt2": Shape(50257, 768, 12),
    "openai-community/gpt2-medium": Shape(50257, 1024, 24),
    "openai-community/gpt2-large": Shape(50257, 1280, 36),
    "openai-community/gpt2-xl": Shape(50257, 1600, 48),
    "distilbert/distilgpt2": Shape(50257, 768, 6),
    "roneneldan/TinyStories-1M": Shape(50257, 64, 8),
    "roneneldan/TinyStories-3M": Shape(50257, 128, 8),
    "roneneldan/TinyStories-8M": Shape(50257, 256, 8),
    "roneneldan/TinyStories-28M": Shape(50257, 512, 8),
    "roneneldan/TinyStories-33M": Shape(50257, 768, 4),
    "EleutherAI/pythia-14m": Shape(50304, 128, 6),
    "EleutherAI/pythia-31m": Shape(50304, 256, 6),
    "EleutherAI/pythia-70m": Shape(50304, 512, 6),
    "EleutherAI/pythia-160m": Shape(50304, 768, 12),
    "facebook/opt-125m": Shape(50272, 768, 12),
    "HuggingFaceTB/SmolLM2-135M": Shape(49152, 576, 30),
    "HuggingFaceTB/SmolLM2-360M": Shape(49152, 960, 32),
    "Qwen/Qwen2.5-0.5B": Shape(151936, 896, 24),
}


def weights_of(name: str) -> Path | None:
    """Return the safetensors file of a model in SHAPES, or None if it is not on this machine."""
    if "/" not in name:
        path = STAND_IN / "model.safetensors"
        return path if path.is_file() else None
    cached = try_to_load_from_cache(name, "model.safetensors")
    return Path(cached) if isinstance(cached, str) else None
