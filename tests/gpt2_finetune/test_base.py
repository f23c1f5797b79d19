"""Which checkpoint is fine-tuned, and that no other model is reported as GPT-2."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx
import pytest
from tokenizers import normalizers
from transformers import (
    BertConfig,
    GPT2Config,
    GPT2Tokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from compare import reachability
from compare.errors import Failure, Misuse
from gpt2_finetune import base as bases
from gpt2_finetune.config import FinetuneOptions
from gpt2_finetune.train import require_support, run_name
from tests.conftest import FINETUNE, Place
from tests.run_records import BASE


def put_in_cache(place: Place, base: Path, name: str) -> Path:
    """Copy `base` into the Hub's local cache, as if `name` had been downloaded."""
    folder = Path(place.environment["HF_HOME"]) / "hub" / f"models--{name.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = folder / "snapshots" / commit
    shutil.copytree(base, snapshot)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit, "utf-8")
    return snapshot


def record(place: Place) -> dict:
    return json.loads((place.path / "runs/gpt2_finetune/latest/run.json").read_text("utf-8"))


def test_auto_without_gpt2_uses_the_stand_in_under_its_own_name(
    place: Place, mini_text: Path
) -> None:
    # A text too short for the stand-in's context stops the command after the base is chosen.
    short = place.path / "short.txt"
    short.write_text(mini_text.read_text("utf-8")[:2000], "utf-8")
    done = place.run("gpt2_finetune.train", "--corpus", short, code=2)
    assert "WARNING: openai-community/gpt2 is not in the local cache" in done.stderr
    assert "stand-in-3.7m" in done.stderr


def test_auto_loads_gpt2_from_the_cache(
    place: Place, tmp_path: Path, mini_text: Path, tiny_base: Path
) -> None:
    place.environment["HF_HOME"] = str(tmp_path / "hf")
    put_in_cache(place, tiny_base, "openai-community/gpt2")
    options = ["--corpus", mini_text, "--epochs", 1, "--tracking", "disabled"]
    done = place.run(*FINETUNE, *options)
    assert "WARNING" not in done.stderr
    base = record(place)["base"]
    assert base["resolved"] == "openai-community/gpt2" and base["source"] == "cache"
    assert base["revision"] == "0123456789abcdef0123456789abcdef01234567"


MISSING = {
    "tokenizer": ("tokenizer*", "has no tokenizer"),
    "weights": ("model.safetensors", "model.safetensors"),
    "config": ("config.json", "config.json"),
}


@pytest.fixture
def snapshot(tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory that the Hub's client finds in its cache, without a network."""
    path = tmp_path / "models--x" / "snapshots" / "0123456789abcdef"
    shutil.copytree(tiny_base, path)
    monkeypatch.setattr(bases, "snapshot_download", lambda name, **_: str(path))
    monkeypatch.setattr(reachability, "hub_reachable", lambda: False)
    return path


@pytest.mark.parametrize(("pattern", "words"), MISSING.values(), ids=MISSING)
def test_auto_with_an_incomplete_cache_uses_the_stand_in_and_names_what_is_missing(
    snapshot: Path, capsys: pytest.CaptureFixture, pattern: str, words: str
) -> None:
    for file in snapshot.glob(pattern):
        file.unlink()
    assert bases.load_base("auto", 0.0)[2].resolved == "stand-in-3.7m"
    lines = capsys.readouterr().err.splitlines()
    (warning,) = [line for line in lines if line.startswith("WARNING")]
    assert "the copy of openai-community/gpt2 in the local cache cannot be used" in warning
    assert words in warning and "the Hub cannot be reached" in warning


def test_a_named_base_with_an_incomplete_cache_fails_and_names_what_is_missing(
    snapshot: Path,
) -> None:
    for file in snapshot.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(Failure, match="has no tokenizer") as failure:
        bases.load_base("distilgpt2", 0.0)
    assert "the copy of distilgpt2 in the local cache cannot be used" in str(failure.value)
    assert "the Hub cannot be reached" in str(failure.value)


@pytest.mark.parametrize("requested", ["auto", "distilgpt2"])
def test_files_missing_from_the_cache_are_downloaded_from_the_hub(
    tmp_path: Path,
    tiny_base: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    requested: str,
) -> None:
    def download(name: str, local_files_only: bool = False, **_: object) -> str:
        """Mimic the Hub's client: return the same directory, completed with the missing files."""
        if not local_files_only:
            for file in tiny_base.glob("tokenizer*"):
                shutil.copy(file, snapshot)
        return str(snapshot)

    snapshot = tmp_path / "models--x" / "snapshots" / "0123456789abcdef"
    shutil.copytree(tiny_base, snapshot, ignore=shutil.ignore_patterns("tokenizer*"))
    monkeypatch.setattr(bases, "snapshot_download", download)
    monkeypatch.setattr(reachability, "hub_reachable", lambda: True)
    _, tokenizer, found = bases.load_base(requested, 0.0)
    assert len(tokenizer) == 300
    assert (found.source, found.revision) == ("Hub", "0123456789abcdef")
    assert found.resolved == (bases.GPT2 if requested == "auto" else requested)
    assert "has no tokenizer): asking the Hub for it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [OSError("no such repository"), httpx.ReadError("connection lost")],
    ids=["not there", "connection lost"],
)
def test_a_named_base_that_the_hub_does_not_have_either_fails(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def download(name: str, local_files_only: bool = False, **_: object) -> str:
        if not local_files_only:
            raise error
        return str(snapshot)

    snapshot = tmp_path / "models--x" / "snapshots" / "0123456789abcdef"
    shutil.copytree(tiny_base, snapshot, ignore=shutil.ignore_patterns("tokenizer*"))
    monkeypatch.setattr(bases, "snapshot_download", download)
    monkeypatch.setattr(reachability, "hub_reachable", lambda: True)
    with pytest.raises(Failure, match=f"is not available from the Hub: {error}"):
        bases.load_base("distilgpt2", 0.0)
    assert bases.load_base("auto", 0.0)[2].resolved == "stand-in-3.7m"


def test_a_named_base_that_is_not_available_fails(place: Place) -> None:
    line = place.refused(*FINETUNE, "--base", "distilgpt2", code=1)
    assert "distilgpt2 is not in the local cache, and the Hub cannot be reached" in line


def test_a_directory_without_a_model_is_refused(place: Place) -> None:
    (place.path / "empty").mkdir()
    assert "empty is not a causal language model" in place.refused(*FINETUNE, "--base", "empty")


def test_an_invalid_hub_name_is_refused(place: Place) -> None:
    line = place.refused(*FINETUNE, "--base", "no/such/directory")
    assert "neither a directory nor a Hub name" in line


def test_a_base_whose_tokenizer_loses_bytes_is_refused_by_name(
    place: Place, mini_text: Path, tiny_base: Path
) -> None:
    shutil.copytree(tiny_base, place.path / "base")
    inner = GPT2Tokenizer.from_pretrained(tiny_base).backend_tokenizer
    inner.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace("\n", " ")]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|endoftext|>")
    tokenizer.save_pretrained(place.path / "base")
    line = place.refused(*FINETUNE, "--base", "base", "--corpus", mini_text)
    assert "--base base: the tokenizer in base does not reproduce the text" in line
    assert not (place.path / "runs").exists()


def test_dropout_is_refused_where_a_model_has_none() -> None:
    assert bases.has_dropout(GPT2Config()) and not bases.has_dropout(LlamaConfig())
    config = bases.with_dropout(BertConfig(hidden_dropout_prob=0.3), 0.1)
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.1, 0.0)
    llama = LlamaForCausalLM(
        LlamaConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    )
    with pytest.raises(Misuse, match=r"--dropout 0\.1: some/base has no dropout outside attention"):
        require_support(FinetuneOptions(dropout=0.1), llama, BASE)
    require_support(FinetuneOptions(dropout=0.1, lora=True), llama, BASE)
    llama.supports_gradient_checkpointing = False
    with pytest.raises(Misuse, match="LlamaForCausalLM does not support it"):
        require_support(FinetuneOptions(gradient_checkpointing=True), llama, BASE)


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("some/base", "some--base-seed1"),
        ("Müllers Goethe", "M-llers-Goethe-seed1"),
        ("模型", "base-seed1"),
    ],
)
def test_a_runs_name_has_only_characters_of_ascii(base: str, name: str) -> None:
    resolved = BASE.model_copy(update={"resolved": base})
    assert run_name(FinetuneOptions(), resolved) == name


def test_a_text_that_is_too_short_for_the_base_is_refused_with_advice(
    place: Place, tiny_base: Path
) -> None:
    (place.path / "short.txt").write_text("ROMEO:\nWhat, ho!\n" * 20, "utf-8")
    line = place.refused(*FINETUNE, "--corpus", "short.txt", "--base", tiny_base)
    assert "too few for one window of 64" in line
    assert "use a longer text or a base with a shorter context" in line


def test_a_share_that_is_too_short_for_the_base_is_refused_with_advice(
    place: Place, tiny_base: Path, mini_text: Path
) -> None:
    (place.path / "short.txt").write_text(mini_text.read_text("utf-8")[:3000], "utf-8")
    share = ["--corpus", "short.txt", "--train-share", 0.01]
    line = place.refused(*FINETUNE, *share, "--base", tiny_base)
    assert "too few for one block of 64: use a longer text, a larger --train-share or a" in line
