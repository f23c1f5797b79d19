"""Into how many micro-batches the rows of a step are divided."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BartConfig, BartForCausalLM

from compare.errors import Misuse
from compare.ruler.parameters import Parameters
from compare.runs.record import read_record
from gpt2_finetune import defaults
from gpt2_finetune import train as training
from gpt2_finetune.config import FinetuneOptions

ROWS = 4  # of 64 tokens, the context of `tiny_base`


@pytest.mark.parametrize(
    ("accumulation", "large", "rows"),
    [(None, defaults.LARGE, ROWS), (None, 0, 1), (2, 0, ROWS // 2)],
    ids=["a small model", "a large model", "as requested"],
)
def test_each_micro_batch_has_its_part_of_the_rows(
    tiny_base: Path,
    mini_text: Path,
    restored_signals: None,
    monkeypatch: pytest.MonkeyPatch,
    accumulation: int | None,
    large: int,
    rows: int,
) -> None:
    shapes: list[torch.Size] = []

    def note_shape(model: torch.nn.Module, args: Any, kwargs: dict[str, torch.Tensor]) -> None:
        if model.training:
            shapes.append(kwargs["input_ids"].shape)

    def watch(model: torch.nn.Module) -> None:
        model.register_forward_pre_hook(note_shape, with_kwargs=True)

    monkeypatch.setattr(defaults, "LARGE", large)
    monkeypatch.setattr(training, "use_fast_kernels", watch)
    training.train(
        FinetuneOptions(
            base=str(tiny_base),
            corpus=str(mini_text),
            train_share=0.2,
            epochs=1,
            batch_tokens=64 * ROWS,
            accumulation=accumulation,
            sample_characters=20,
            tracking="disabled",
            device="cpu",
        )
    )
    assert set(shapes) == {(rows, 64)} and len(shapes) % (ROWS // rows) == 0


@pytest.mark.parametrize("large", [defaults.LARGE, 0], ids=["a small model", "a large model"])
def test_the_advice_for_a_text_that_is_smaller_than_a_step_works(
    tiny_base: Path,
    mini_text: Path,
    restored_signals: None,
    monkeypatch: pytest.MonkeyPatch,
    large: int,
) -> None:
    """By default, a large model reads as many micro-batches as there are rows in a step."""
    monkeypatch.setattr(defaults, "LARGE", large)
    options = FinetuneOptions(
        base=str(tiny_base),
        corpus=str(mini_text),
        train_share=0.01,
        epochs=1,
        batch_tokens=2**20,
        precision="fp32",
        sample_characters=20,
        tracking="disabled",
        device="cpu",
    )
    with pytest.raises(Misuse, match=r"use at most \d+$") as refused:
        training.train(options)
    most = int(str(refused.value).rpartition(" ")[2])
    training.train(replace(options, batch_tokens=most))
    with pytest.raises(Misuse, match="a lower --accumulation"):  # fewer rows than micro-batches
        training.train(replace(options, accumulation=2**14))


def test_a_decoder_with_a_loss_of_its_own_trains_alike_with_any_micro_batches(
    tiny_base: Path, mini_text: Path, restored_signals: None
) -> None:
    """BART's ignores how many targets the step has: twice the micro-batches, twice the loss."""
    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=300,
        d_model=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=64,
        max_position_embeddings=64,
        eos_token_id=0,
    )
    BartForCausalLM(config).save_pretrained("bart")
    AutoTokenizer.from_pretrained(tiny_base).save_pretrained("bart")
    for accumulation in (1, ROWS):  # rows of padding, which complete the last step, have no mean
        training.train(
            FinetuneOptions(
                base="bart",
                corpus=str(mini_text),
                train_share=0.2,
                epochs=1,
                batch_tokens=64 * ROWS,
                accumulation=accumulation,
                precision="fp32",
                sample_characters=20,
                tracking="disabled",
                device="cpu",
            )
        )
    first, second = (
        read_record(Path("runs/gpt2_finetune", name)).epochs[0]
        for name in ("bart-share0.2-seed1", "bart-share0.2-seed1-2")
    )
    assert second.train_loss == pytest.approx(first.train_loss, rel=1e-4)
    assert second.eval.loss == pytest.approx(first.eval.loss, rel=1e-4)
    assert 4 < first.train_loss < 7  # log 300 = 5.7, before training


def test_only_a_large_model_on_a_cpu_reads_one_row_at_a_time() -> None:
    small, large = (Parameters(total=n, non_embedding=n) for n in (4_000_000, 124_000_000))
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert defaults.accumulation(large, cpu, rows=2) == 2
    assert defaults.accumulation(large, cpu, rows=0) == 1  # fewer rows than processes
    assert defaults.accumulation(large, gpu, rows=2) == defaults.accumulation(small, cpu, 2) == 1
