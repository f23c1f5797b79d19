"""Attention in blocks is the same function as torch's, and is used where it is faster."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
)

from gpt2_finetune import attention
from gpt2_finetune.attention import CausalAttention
from gpt2_finetune.fast_forward import use_fast_kernels

LLAMA_SHAPE = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def tensors(time: int, key_heads: int, dtype: torch.dtype, batch: int = 2) -> list[Tensor]:
    """Return query, key, value and the gradient of the result, laid out as in a model."""
    torch.manual_seed(0)
    heads = (6, key_heads, key_heads, 6)
    return [torch.randn(batch, time, each, 8).to(dtype).transpose(1, 2) for each in heads]


def torch_attention(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    return F.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scaling, enable_gqa=True
    )


def with_gradients(function: object, inputs: list[Tensor], scaling: float) -> list[Tensor]:
    *inputs, gradient = [each.detach().clone() for each in inputs]
    leaves = [each.requires_grad_() for each in inputs]
    result = function(*leaves, scaling)  # type: ignore[operator]
    result.backward(gradient)
    return [result.detach(), *(leaf.grad for leaf in leaves)]  # type: ignore[list-item]


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("key_heads", [6, 2, 1])
@pytest.mark.parametrize("time", [1, 7, 64, 65, 200])
def test_result_and_gradients_equal_those_of_torch(
    time: int, key_heads: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "BLOCK", 64)
    inputs = tensors(time, key_heads, torch.float64, batch)
    for ours, theirs in zip(
        with_gradients(CausalAttention.apply, inputs, 0.3),
        with_gradients(torch_attention, inputs, 0.3),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_errors_in_bf16_are_those_of_rounding() -> None:
    """bf16 has 8 significant bits: scores, weights and results are off by up to 1 part in 256."""
    exact = with_gradients(torch_attention, tensors(300, 2, torch.float64), 0.35)
    rounded = with_gradients(CausalAttention.apply, tensors(300, 2, torch.bfloat16), 0.35)
    for ours, theirs in zip(rounded, exact, strict=True):
        assert ours.dtype == torch.bfloat16
        assert (ours - theirs).norm() < 0.01 * theirs.norm()


@pytest.mark.parametrize(
    ("config", "in_blocks"),
    [
        (LlamaConfig(**LLAMA_SHAPE), True),
        (GPT2Config(vocab_size=300, n_embd=64, n_layer=2, n_head=4, attn_pdrop=0.0), True),
        (GPT2Config(vocab_size=300, n_embd=64, n_layer=2, n_head=4, attn_pdrop=0.1), False),
        (MistralConfig(**LLAMA_SHAPE, sliding_window=16), False),
    ],
    ids=["llama", "gpt2", "dropout in attention", "sliding window"],
)
def test_models_use_it_in_bf16_training_and_nowhere_else(
    config: PreTrainedConfig, in_blocks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    apply = CausalAttention.apply
    monkeypatch.setattr(CausalAttention, "apply", lambda *args: calls.append(1) or apply(*args))
    model = AutoModelForCausalLM.from_config(config)
    use_fast_kernels(model)
    ids = torch.randint(300, (2, 40))
    batch = {"labels": ids, "shift_labels": ids, "num_items_in_batch": torch.tensor(80)}

    model.eval()(ids)
    with torch.autocast("cpu", torch.bfloat16):
        model(ids)
    model.train()(ids, **batch)
    assert not calls
    with torch.autocast("cpu", torch.bfloat16):
        model(ids, **batch).loss.backward()
    assert len(calls) == (2 if in_blocks else 0)  # one per layer


def test_generation_and_the_saved_configuration_stay_the_same() -> None:
    torch.manual_seed(1)
    plain = AutoModelForCausalLM.from_config(LlamaConfig(**LLAMA_SHAPE)).eval()
    changed = copy.deepcopy(plain)
    use_fast_kernels(changed)
    prompt = torch.randint(300, (1, 10))
    ours, theirs = (
        model.generate(prompt, max_new_tokens=20, do_sample=False, pad_token_id=0)
        for model in (changed, plain)
    )
    assert torch.equal(ours, theirs)
    assert changed.config.to_dict() == plain.config.to_dict()
