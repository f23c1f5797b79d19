"""A lean GPT-2 is the same function with the same gradients."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from compare import models
from gpt2_finetune import lean as lean_module
from gpt2_finetune.lean import lean


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


def test_loss_and_gradients_are_those_of_the_library(
    tiny_base: Path, batch: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean_module, "PIECE", 50)  # 192 tokens: three pieces and a rest
    plain, _ = models.load(tiny_base)
    changed = copy.deepcopy(plain)
    lean(changed)
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


def test_logits_come_in_evaluation_but_not_in_training(
    tiny_base: Path, batch: dict[str, torch.Tensor]
) -> None:
    plain, _ = models.load(tiny_base)
    changed = copy.deepcopy(plain)
    lean(changed)
    ids = batch["input_ids"]
    torch.testing.assert_close(changed(ids).logits, plain(ids).logits)
    changed.train()
    assert changed(**batch).logits.shape == (3, 64, 32)  # the width: nothing of 300 columns
