"""Low-rank adaptation ("LoRA", Hu et al. 2021): only adapter weights are trained."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, cast

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from compare.errors import Misuse
from gpt2_finetune.config import FinetuneOptions

if TYPE_CHECKING:
    from peft import PeftModel

# W + (SCALE / RANK) B A; in GPT-2, B and A have 2.4 M parameters.  The help of --lora states RANK.
RANK, SCALE = 16, 32


def add_adapters(model: PreTrainedModel, options: FinetuneOptions) -> PreTrainedModel:
    """Return `model` with adapters at the weight matrices of all layers.

    Only the adapters are trainable.  Raises Misuse if the package peft is not installed.
    """
    try:
        from peft import LoraConfig, TaskType, get_peft_model
    except ImportError:
        raise Misuse("--lora needs the package peft: pip install peft") from None
    config = LoraConfig(
        r=RANK,
        lora_alpha=SCALE,
        target_modules="all-linear",
        lora_dropout=options.dropout,
        # GPT-2's layers, which store their weights as (inputs, outputs).
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        task_type=TaskType.CAUSAL_LM,
    )
    torch.manual_seed(options.seed)
    with warnings.catch_warnings():
        # peft still reads this property, which transformers has renamed.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        adapted = get_peft_model(model, config)
    return cast(PreTrainedModel, adapted)  # a PeftModel, which forwards attributes to `model`


def merge_adapters(model: PreTrainedModel) -> PreTrainedModel:
    """Merge the adapters of `add_adapters` into the weights, and return the original model."""
    return cast("PeftModel", model).merge_and_unload()
