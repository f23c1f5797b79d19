"""`use_fast_kernels` changes neither the function that a model computes nor its gradients."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BartConfig,
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MixtralConfig,
    NanoChatConfig,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
)

from compare.runs import models
from gpt2_finetune import fast_forward
from gpt2_finetune.fast_forward import chunked_loss, use_fast_kernels


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    targets = torch.randint(300, (3, 64))
    targets[2, 10:] = -100
    return {
        "input_ids": torch.randint(300, (3, 64)),
        "labels": targets,
        "shift_labels": targets,
        "num_items_in_batch": torch.tensor(138),
    }


SHAPE = {"vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA_SHAPE = SHAPE | {"intermediate_size": 128, "num_key_value_heads": 2}
NEOX_SHAPE = SHAPE | {"intermediate_size": 128, "max_position_embeddings": 64}
GPT2_SHAPE = {"vocab_size": 300, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
CONFIGS = {
    "gpt2": GPT2Config(**GPT2_SHAPE, **NO_DROPOUT, bos_token_id=0, eos_token_id=0),
    "llama": LlamaConfig(**LLAMA_SHAPE),
    "llama, tied": LlamaConfig(**LLAMA_SHAPE, tie_word_embeddings=True),
    "gpt-neox": GPTNeoXConfig(**NEOX_SHAPE),
    "qwen2": Qwen2Config(**LLAMA_SHAPE),
    # These pass the size of the vocabulary to the loss by position.
    "gemma3": Gemma3TextConfig(**LLAMA_SHAPE, head_dim=16),
    "mixtral": MixtralConfig(**LLAMA_SHAPE, num_local_experts=4),
}
# Their logits are more than the product of the hidden states and a matrix, or they compute the loss
# themselves.
OTHER_HEADS = {
    "capped": Gemma2Config(**LLAMA_SHAPE, head_dim=16),
    "scaled": CohereConfig(**LLAMA_SHAPE, eos_token_id=1),
    "divided": GraniteConfig(**LLAMA_SHAPE, logits_scaling=8.0),
    "with a bias": PhiConfig(**NEOX_SHAPE),
    "capped, rotated the other way": NanoChatConfig(**LLAMA_SHAPE, max_position_embeddings=64),
    "a loss of its own": BartConfig(
        vocab_size=300,
        d_model=64,
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=128,
        max_position_embeddings=64,
        dropout=0.0,
    ),
}


def pair(config: PreTrainedConfig) -> tuple[PreTrainedModel, PreTrainedModel]:
    """Return a model with random weights and biases, and a copy of it with fast kernels."""
    torch.manual_seed(1)
    plain = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weights in plain.parameters():
            weights += 0.05 * torch.randn_like(weights)
    changed = copy.deepcopy(plain)
    use_fast_kernels(changed)
    return plain.train(), changed.train()


@pytest.mark.parametrize(
    "config",
    [*CONFIGS.values(), *OTHER_HEADS.values()],
    ids=[*CONFIGS, *OTHER_HEADS],
)
def test_loss_and_gradients_equal_those_of_transformers(
    config: PreTrainedConfig, batch: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        fast_forward, "CHUNK_TOKENS", 50
    )  # 192 tokens: three full chunks and a partial one
    plain, changed = pair(config)
    losses = []
    for model in (plain, changed):
        loss = model(**batch).loss
        loss.backward()
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    ours, theirs = (
        torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])
        for model in (changed, plain)
    )
    assert (ours - theirs).norm() <= 1e-6 * theirs.norm()


@pytest.mark.parametrize("config", OTHER_HEADS.values(), ids=OTHER_HEADS)
def test_other_heads_stay_what_they_are_before_training(config: PreTrainedConfig) -> None:
    """The embedding of padding is still 0, and with it the logits, whatever becomes of them."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config)
    use_fast_kernels(model)
    width = model.train()(input_ids=torch.arange(8)[None]).logits.shape[-1]
    assert width == 300  # logits, and not hidden states


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_logits_do_not_exist_in_training(
    config: PreTrainedConfig, batch: dict[str, torch.Tensor]
) -> None:
    assert pair(config)[1](**batch).logits.shape == (3, 64, 64)  # hidden states, not 300 logits


def test_the_parts_of_llama_are_replaced(batch: dict[str, torch.Tensor]) -> None:
    """Otherwise, training takes more memory and time, and no result would show it."""
    _, changed = pair(CONFIGS["llama"])
    layer = changed.model.layers[0]
    replaced = {name for name, module in layer.named_modules() if "forward" in vars(module)}
    assert replaced == {"input_layernorm", "post_attention_layernorm", "mlp", "self_attn"}


def test_training_in_bf16_follows_fp32_as_closely_as_the_library_does(
    batch: dict[str, torch.Tensor],
) -> None:
    plain, changed = pair(CONFIGS["llama"])
    plain(**batch).loss.backward()
    exact = torch.cat([each.grad.flatten() for each in plain.parameters()])
    errors = []
    for model in (plain, changed):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**batch).loss
        loss.backward()
        gradient = torch.cat([each.grad.flatten() for each in model.parameters()])
        errors.append((gradient - exact).norm() / exact.norm())
    assert errors[1] < 1.5 * errors[0]


def test_logits_are_computed_in_evaluation_but_not_in_training(
    tiny_base: Path, batch: dict[str, torch.Tensor]
) -> None:
    plain, _ = models.load(tiny_base)
    changed = copy.deepcopy(plain)
    use_fast_kernels(changed)
    ids = batch["input_ids"]
    torch.testing.assert_close(changed(ids).logits, plain(ids).logits)
    changed.train()
    assert changed(**batch).logits.shape == (3, 64, 32)  # hidden states: width 32, not 300 logits


def test_the_loss_in_bf16_equals_the_fp32_sum_over_the_same_logits_up_to_rounding() -> None:
    """Each of 1,280 values is rounded to 1 part in 256; a sum in bf16 would be off by 32 in 8,000.

    The standard error of the mean is 2**-8 / sqrt(12) / sqrt(1280) = 3e-5 of the loss.
    """
    torch.manual_seed(0)
    hidden, head = torch.randn(2, 640, 16), torch.nn.Linear(16, 300, bias=False)
    targets = torch.randint(300, (2, 640))
    with torch.autocast("cpu", torch.bfloat16):
        loss = chunked_loss(
            head, hidden, targets, 300, shift_labels=targets, num_items_in_batch=torch.tensor(1)
        )
        logits = torch.nn.functional.linear(hidden, head.weight).float()
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="sum"
    )
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=2e-4, atol=0)
