"""Low-rank fine-tuning (Hu et al. 2021, "LoRA"): only added weights are trained."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from compare.errors import Misuse
from gpt2_finetune.config import FinetuneOptions

RANK, SCALE = 16, 32  # W + (SCALE / RANK) B A; for GPT-2, 2.4 M numbers in B and A


def added(model: PreTrainedModel, options: FinetuneOptions) -> tuple[PreTrainedModel, int]:
    """`model` with additions to all its layers' matrices, and how many numbers these have."""
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
    """The model as it was before `added`, with the additions in its weights."""
    return model.merge_and_unload()
