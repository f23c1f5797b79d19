"""Causal language models of other architectures go through the whole study, too."""

from __future__ import annotations

import json

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, trainers
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
)

from compare.ruler import scoring
from compare.runs.models import load
from tests.conftest import FINETUNE, Place

SHAPE = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def sentence_pieces(text: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer like Llama's: spaces are part of tokens, and rare characters are bytes."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(
        text.splitlines(),
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def of_bytes(text: str, **special: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer like GPT-2's, but with other special tokens."""
    from transformers import GPT2Tokenizer

    empty = GPT2Tokenizer(vocab={"<|endoftext|>": 0}, merges=[])
    inner = empty.train_new_from_iterator([text], 398, show_progress=False)
    return PreTrainedTokenizerFast(tokenizer_object=inner.backend_tokenizer, **special)


def llama(text: str) -> tuple:
    config = LlamaConfig(**SHAPE, intermediate_size=64, max_position_embeddings=131_072)
    return LlamaForCausalLM(config), sentence_pieces(text)


def neox(text: str) -> tuple:
    config = GPTNeoXConfig(**SHAPE, intermediate_size=64, max_position_embeddings=64)
    return GPTNeoXForCausalLM(config), of_bytes(text, eos_token="<|endoftext|>")


def opt(text: str) -> tuple:
    config = OPTConfig(**SHAPE, ffn_dim=64, word_embed_proj_dim=32, max_position_embeddings=64)
    return OPTForCausalLM(config), of_bytes(text, bos_token="</s>", eos_token="</s>")


@pytest.mark.parametrize(
    "architecture",
    [llama, pytest.param(neox, marks=pytest.mark.slow), pytest.param(opt, marks=pytest.mark.slow)],
    ids=["llama", "gpt-neox", "opt"],
)
def test_another_architecture_is_fine_tuned_scored_and_sampled(
    place: Place, tiny_shakespeare: str, architecture
) -> None:
    text = tiny_shakespeare[:60_000]
    (place.path / "text.txt").write_text(text, "utf-8")
    torch.manual_seed(0)
    model, tokenizer = architecture(text[:54_000])
    model.save_pretrained(place.path / "base")
    tokenizer.save_pretrained(place.path / "base")
    place.run(
        *FINETUNE,
        "--corpus",
        "text.txt",
        "--base",
        "base",
        "--tracking",
        "disabled",
        "--epochs",
        1,
        "--batch-tokens",
        2048,
        "--learning-rate",
        0.003,
    )
    run = json.loads((place.path / "runs/gpt2_finetune/latest/run.json").read_text("utf-8"))
    assert run["epochs"][0]["eval"]["loss"] < run["zero_shot"]["loss"]
    assert run["epochs"][0]["eval"]["bytes"] == 3000
    pair = load(place.path / "runs/gpt2_finetune/latest/model")
    score = scoring.score(*pair, text[-6000:-3000], stride=16)
    assert score.byte_ends[-1] == 3000  # whatever the tokenizer does, each byte counts once
    done = place.run(
        "compare.generate",
        "--run",
        "runs/gpt2_finetune/latest",
        "--prompt",
        "ROMEO:\nWhat, ho!",
        "--characters",
        40,
    )
    assert "ROMEO:\nWhat, ho!" in done.stdout and "<s>" not in done.stdout
