"""Default values that depend on the device and the base.

These are --precision, --learning-rate and --accumulation.
"""

from __future__ import annotations

import math
import time
from typing import Literal

import torch

from compare.ruler.parameters import Parameters

GPT2_PARAMETERS, GPT2_LEARNING_RATE = 124e6, 1e-4
LORA_FACTOR = 10
LARGE = 50_000_000  # parameters
# How many times as fast as fp32 the products in bf16 must be.  Autocast also has to convert what
# they multiply, and loses precision.
WORTHWHILE_SPEEDUP = 1.2


def precision(device: torch.device) -> Literal["fp32", "bf16"]:
    """Return "bf16" if the device supports it natively and, on a CPU, is faster with it.

    Instructions for bf16 do not make every CPU faster.  On an AMD EPYC with avx512_bf16, products
    take half as long as in fp32, but on an Intel Xeon with avx512_bf16 and without amx_bf16, twice
    as long.  Apple GPUs use fp32, because this study has not measured bf16 on them.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "mps":
        return "fp32"
    capabilities = torch.cpu.get_capabilities()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bf16" if native and measure_bf16_speedup() >= WORTHWHILE_SPEEDUP else "fp32"


def measure_bf16_speedup(size: int = 1024, repetitions: int = 5) -> float:
    """Return how many times as fast as in fp32 the CPU multiplies two matrices in bf16.

    The fastest repetition of each counts, after a warm-up.  Where the clock is fine enough, this is
    the CPU time of one thread, which depends less on other load: a resumed run should get the same
    answer.  Returns 1 if the clock is too coarse for these products.
    """
    is_fine = time.get_clock_info("thread_time").resolution < 1e-4  # Windows: 1/64 s
    clock = time.thread_time if is_fine else time.perf_counter
    matrices = [torch.ones(size, size, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)]
    fastest = [math.inf] * len(matrices)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for repetition in range(repetitions + 1):
            for index, matrix in enumerate(matrices):
                began = clock()
                matrix @ matrix
                if repetition:
                    fastest[index] = min(fastest[index], clock() - began)
    finally:
        torch.set_num_threads(threads)
    fp32, bf16 = fastest
    # The resolution that a system states may be finer than the steps of its clock.
    return fp32 / bf16 if fp32 and bf16 else 1.0


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
