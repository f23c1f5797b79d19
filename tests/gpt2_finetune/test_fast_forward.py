"""`use_fast_kernels` changes neither the function that GPT-2 computes nor its gradients."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

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


def test_loss_and_gradients_equal_those_of_transformers(
    tiny_base: Path, batch: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        fast_forward, "CHUNK_TOKENS", 50
    )  # 192 tokens: three full chunks and a partial one
    plain, _ = models.load(tiny_base)
    changed = copy.deepcopy(plain)
    use_fast_kernels(changed)
    for model in (plain, changed):
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        model.train()
        model(**batch).loss.backward()
    with torch.no_grad():
        torch.testing.assert_close(changed(**batch).loss, plain(**batch).loss)
    for (name, ours), theirs in zip(changed.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)


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
        loss = chunked_loss(head, hidden, targets, targets, torch.tensor(1))
        logits = torch.nn.functional.linear(hidden, head.weight).float()
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="sum"
    )
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=2e-4, atol=0)
