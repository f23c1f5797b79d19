"""Default values that depend on the device and the base.

These are --precision, --learning-rate and --accumulation.
"""

from __future__ import annotations

import math
from typing import Literal

import torch

from compare.ruler.parameters import Parameters

GPT2_PARAMETERS, GPT2_LEARNING_RATE = 124e6, 1e-4
LORA_FACTOR = 10
LARGE = 50_000_000  # parameters


def precision(device: torch.device) -> Literal["fp32", "bf16"]:
    """Return "bf16" if the GPU, or the CPU's instruction set, supports it natively, else "fp32".

    CPUs without bf16 instructions are slower in bf16 than in fp32.  Apple GPUs use fp32, because
    this study has not measured bf16 on them.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "mps":
        return "fp32"
    capabilities = torch.cpu.get_capabilities()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bf16" if native else "fp32"


def learning_rate(parameters: Parameters, random_weights: bool, lora: bool = False) -> float:
    """Return the default peak learning rate for a model with these parameter counts.

    Fine-tuning uses 1e-4 for GPT-2's size and more for a smaller base, and LoRA ten times as much;
    gpt2_finetune/EXPERIMENTS.md compares other rates at two sizes.  From random weights, the rate
    is that of Kaplan et al. 2020, "Scaling Laws for Neural Language Models", equation D.1, a
    function of the number of non-embedding parameters.
    """
    if random_weights:
        return 0.003239 - 0.0001395 * math.log(parameters.non_embedding)
    full_rank = GPT2_LEARNING_RATE * (GPT2_PARAMETERS / parameters.total) ** 0.5
    return full_rank * (LORA_FACTOR if lora else 1)


def accumulation(parameters: Parameters, device: torch.device, rows: int) -> int:
    """Return the default number of micro-batches into which a process divides `rows` of a step.

    A large model on a CPU reads one row at a time, if there are any: a row of a thousand tokens
    keeps the cores busy, and the activations of several would take more memory than all weights.
    """
    return max(1, rows) if device.type == "cpu" and parameters.total > LARGE else 1
