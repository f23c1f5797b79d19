"""Low-rank adaptation ("LoRA", Hu et al. 2021): only adapter weights are trained."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from compare.errors import Misuse
from gpt2_finetune.config import FinetuneOptions

RANK, SCALE = 16, 32  # W + (SCALE / RANK) B A; in GPT-2, B and A have 2.4 M parameters


def added(model: PreTrainedModel, options: FinetuneOptions) -> tuple[PreTrainedModel, int]:
    """Add adapters to the weight matrices of all layers of `model`.

    Returns the wrapped model and the number of trainable parameters.  Raises Misuse if the package
    peft is not installed.
    """
    try:
        from peft import LoraConfig, TaskType, get_peft_model
    except ImportError:
        raise Misuse("--lora needs the package peft: pip install peft") from None
    torch.manual_seed(options.seed)
    wrapped = get_peft_model(
        model,
        LoraConfig(
            r=RANK,
            lora_alpha=SCALE,
            target_modules="all-linear",
            lora_dropout=options.dropout,
            task_type=TaskType.CAUSAL_LM,
        ),
    )
    return wrapped, sum(p.numel() for p in wrapped.parameters() if p.requires_grad)


def merged(model: PreTrainedModel) -> PreTrainedModel:
    """Undo `added`: return the original model with the adapters merged into its weights."""
    return model.merge_and_unload()
