"""Which checkpoint is fine-tuned, and that nothing passes for GPT-2 that is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.conftest import FINETUNE, Place


def put_in_cache(place: Place, base: Path, name: str) -> None:
    """Lay `base` into the Hub's cache as if `name` had been downloaded."""
    folder = Path(place.environment["HF_HOME"]) / "hub" / f"models--{name.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(base, folder / "snapshots" / commit)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)


def record(place: Place) -> dict:
    return json.loads((place.path / "runs/gpt2_finetune/latest/run.json").read_text())


def test_auto_without_gpt2_is_the_stand_in_by_its_own_name(place: Place, mini_text: Path) -> None:
    # A text too short for the stand-in's context stops the command after the base is chosen.
    short = place.path / "short.txt"
    short.write_text(mini_text.read_text()[:2000])
    done = place.run("gpt2_finetune.train", "--corpus", short, code=2)
    assert "WARNING: openai-community/gpt2 is not in the local cache" in done.stderr
    assert "stand-in-3.7m" in done.stderr


def test_auto_takes_gpt2_from_the_cache(
    place: Place, tmp_path: Path, mini_text: Path, tiny_base: Path
) -> None:
    place.environment["HF_HOME"] = str(tmp_path / "hf")
    put_in_cache(place, tiny_base, "openai-community/gpt2")
    options = ["--corpus", mini_text, "--epochs", "1", "--tracking", "disabled"]
    done = place.run("gpt2_finetune.train", *options)
    assert "WARNING" not in done.stderr
    base = record(place)["base"]
    assert base["resolved"] == "openai-community/gpt2" and base["source"] == "cache"
    assert base["revision"] == "0123456789abcdef0123456789abcdef01234567"


def test_a_named_base_that_cannot_be_had_fails(place: Place) -> None:
    line = place.refused(*FINETUNE, "--base", "distilgpt2", code=1)
    assert "distilgpt2 is not in the local cache, and the Hub is out of reach" in line


def test_a_directory_without_a_model_is_refused(place: Place) -> None:
    (place.path / "empty").mkdir()
    assert "empty is no causal language model" in place.refused(*FINETUNE, "--base", "empty")


def test_a_name_that_can_be_none_is_refused(place: Place) -> None:
    line = place.refused(*FINETUNE, "--base", "no/such/directory")
    assert "neither a directory nor a Hub name" in line
