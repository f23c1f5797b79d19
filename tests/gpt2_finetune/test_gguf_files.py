"""A GGUF file is a base like any other: converted once, checked, never used half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import GPT2Tokenizer, LlamaConfig, LlamaForCausalLM

from gpt2_finetune.base import load_base
from tests.conftest import FINETUNE, Place
from tests.file_events import FileEvent

gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")

WIDTH, HEADS, LAYERS = 32, 2, 2
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def interleaved(weights: torch.Tensor) -> torch.Tensor:
    """Return the rows of q or k in llama.cpp's order: its rotation pairs neighbors, not halves."""
    halves = weights.view(HEADS, 2, WIDTH // HEADS // 2, WIDTH)
    return halves.transpose(1, 2).reshape(weights.shape)


@pytest.fixture(scope="module")
def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=64,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


@pytest.fixture(scope="module")
def file(
    tmp_path_factory: pytest.TempPathFactory, llama: LlamaForCausalLM, tiny_base: Path
) -> Path:
    """A file as llama.cpp writes it, with the tokenizer of the tiny GPT-2."""
    path = tmp_path_factory.mktemp("gguf") / "Tiny (F32).gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_string("general.license", "apache-2.0")
    writer.add_block_count(LAYERS)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(64)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(300)
    bpe = json.loads(GPT2Tokenizer.from_pretrained(tiny_base).backend_tokenizer.to_str())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(sorted(bpe["vocab"], key=bpe["vocab"].get))
    writer.add_token_types([gguf.TokenType.CONTROL] + 299 * [gguf.TokenType.NORMAL])
    writer.add_token_merges([" ".join(merge) for merge in bpe["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name, weights in llama.model.state_dict(prefix="model.").items():
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        name = name.replace("model.layers.", "blk.")
        if "attn_q" in name or "attn_k" in name:
            weights = interleaved(weights)
        writer.add_tensor(name, weights.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tiny-shakespeare-study" / "gguf"


def test_its_weights_tokenizer_and_license_are_those_of_the_file(
    cache: Path, file: Path, llama: LlamaForCausalLM
) -> None:
    model, tokenizer, base = load_base(str(file), 0.0)
    for name, weights in llama.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], weights, rtol=0, atol=0)
    text = "ROMEO:\nWhat, ho!"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert base.resolved == "Tiny (F32)" and Path(base.folder).parent == cache
    assert "license: apache-2.0" in (Path(base.folder) / "README.md").read_text("utf-8")


def test_it_is_converted_once_and_again_if_the_copy_is_damaged(
    cache: Path, file: Path, capsys: pytest.CaptureFixture
) -> None:
    first = load_base(str(file), 0.0)[2]
    assert "converting" in capsys.readouterr().err
    assert load_base(str(file.parent), 0.0)[2].folder == first.folder  # as a directory
    assert "converting" not in capsys.readouterr().err
    weights = Path(first.folder) / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert load_base(str(file), 0.0)[2].weights_sha256 == first.weights_sha256
    assert "converting" in capsys.readouterr().err


def test_a_killed_conversion_leaves_nothing_that_is_used(
    place: Place, file: Path, mini_text: Path
) -> None:
    place.environment["XDG_CACHE_HOME"] = str(place.path / "cache")
    options = [*FINETUNE, "--base", file, "--corpus", mini_text, "--epochs", 1]
    options += ["--tracking", "disabled"]
    place.kill_at(FileEvent("open", "tokenizer_config.json", 1), *options)
    cache = place.path / "cache/tiny-shakespeare-study/gguf"
    (left,) = (each for each in cache.iterdir() if each.is_dir())
    assert left.name.startswith(".")
    assert (left / "model.safetensors").exists()
    assert "converting" in place.run(*options).stderr
    assert not left.exists()
    (run,) = (place.path / "runs/gpt2_finetune").glob("Tiny*")
    assert run.name == "Tiny-F32-seed1"


def test_several_files_in_a_directory_are_refused(place: Place, file: Path) -> None:
    (place.path / "base").mkdir()
    for name in ("a.gguf", "b.gguf"):
        shutil.copy(file, place.path / "base" / name)
    line = place.refused(*FINETUNE, "--base", "base")
    assert "several GGUF files (a.gguf, b.gguf)" in line


def test_a_damaged_file_is_refused(place: Place, file: Path) -> None:
    (place.path / "half.gguf").write_bytes(file.read_bytes()[:2000])
    line = place.refused(*FINETUNE, "--base", "half.gguf")
    assert "half.gguf cannot be read as a causal language model" in line
