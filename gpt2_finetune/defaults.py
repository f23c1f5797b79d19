"""What --precision auto and an omitted --learning-rate mean for this device and this base."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

GPT2_PARAMETERS, GPT2_LEARNING_RATE = 124e6, 5e-5
LORA_FACTOR = 10


def precision(device: torch.device) -> str:
    """bf16 where the GPU, or the CPU's instruction set, multiplies in it; else fp32.

    A CPU without such instructions is slower in bf16 than in fp32; on Apple's GPUs nobody has
    measured it for this study.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "mps":
        return "fp32"
    can = torch.cpu.get_capabilities()
    return "bf16" if can.get("avx512_bf16") or can.get("amx_bf16") else "fp32"


def learning_rate(parameters: Mapping[str, int], random_weights: bool, lora: bool = False) -> float:
    """5e-5 for fine-tuning GPT-2, more for a smaller base; from random weights as one pretrains.

    The latter is Kaplan et al. 2020, "Scaling Laws for Neural Language Models", equation D.1, of
    the parameters that are no embeddings.  `compare.ruler.flops.parameters` counts `parameters`.
    """
    if random_weights:
        return 0.003239 - 0.0001395 * math.log(parameters["non_embedding"])
    full = GPT2_LEARNING_RATE * (GPT2_PARAMETERS / parameters["total"]) ** 0.5
    return full * (LORA_FACTOR if lora else 1)
