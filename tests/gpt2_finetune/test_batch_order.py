"""The order in which the Trainer reads the training split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import GPT2LMHeadModel, Trainer

from gpt2_finetune.config import FinetuneOptions
from gpt2_finetune.train import training_arguments

EPOCHS = 3


def orders(seed: int, base: Path, folder: Path) -> list[tuple[int, ...]]:
    """Return the order of twenty rows in each epoch of a run with this seed."""
    options = FinetuneOptions(seed=seed, epochs=EPOCHS, learning_rate=0.001, accumulation=1)
    arguments = training_arguments(options, folder, 1, torch.device("cpu"))
    model = GPT2LMHeadModel.from_pretrained(base)
    rows = Dataset.from_dict({"row": range(20)})

    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {"row": torch.tensor([example["row"] for example in batch])}

    trainer = Trainer(
        model, arguments, data_collator=collate, train_dataset=rows, eval_dataset=rows
    )
    loader = trainer.get_train_dataloader()
    seen = []
    for epoch in range(EPOCHS):
        loader.set_epoch(epoch)  # type: ignore[attr-defined]
        seen.append(tuple(int(batch["row"]) for batch in loader))
    return seen


def test_runs_with_different_seeds_have_no_order_in_common(tiny_base: Path, tmp_path: Path) -> None:
    every = [order for seed in (1, 2) for order in orders(seed, tiny_base, tmp_path)]
    assert all(sorted(order) == list(range(20)) for order in every)
    assert len(set(every)) == 2 * EPOCHS
