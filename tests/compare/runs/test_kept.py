"""Scores and samples are computed once, and again whenever anything that decides them changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from compare.ruler import sampling, scoring
from compare.runs import kept
from compare.runs.kept import KeptModel

TEXT = "ROMEO:\nWhat light through yonder window breaks?\n" * 20


@pytest.fixture
def folder(tmp_path: Path, tiny_base: Path) -> Path:
    """Return a new model directory, in an otherwise empty working directory."""
    return shutil.copytree(tiny_base, tmp_path / "model")


@pytest.fixture
def computations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows with each computation of a score or a sample."""
    made: list[str] = []
    real_score, real_sample = scoring.score, sampling.sample

    def score(*args: object, **kwargs: object) -> scoring.Score:
        made.append("score")
        return real_score(*args, **kwargs)

    def sample(*args: object, **kwargs: object) -> str:
        made.append("sample")
        return real_sample(*args, **kwargs)

    monkeypatch.setattr(scoring, "score", score)
    monkeypatch.setattr(sampling, "sample", sample)
    return made


def test_a_score_is_computed_once_and_stays_the_same(folder: Path, computations: list) -> None:
    first = KeptModel(folder).score(TEXT)
    second = KeptModel(folder).score(TEXT)
    assert computations == ["score"]
    assert np.array_equal(first.nats, second.nats)
    assert np.array_equal(first.byte_ends, second.byte_ends)
    assert second.metrics == first.metrics and second.nats.dtype == np.float64


def test_a_sample_is_generated_once(folder: Path, computations: list) -> None:
    settings = sampling.Settings(characters=30)
    first = KeptModel(folder).sample("ROMEO:", settings)
    assert KeptModel(folder).sample("ROMEO:", settings) == first
    assert computations == ["sample"]
    KeptModel(folder).sample("ROMEO:", sampling.Settings(characters=30, seed=5))
    assert computations == ["sample", "sample"]


def test_text_stride_and_context_each_have_their_own_score(
    folder: Path, computations: list
) -> None:
    model = KeptModel(folder)
    for arguments in ({}, {"stride": 3}, {"context_length": 8}):
        model.score(TEXT, **arguments)
    model.score(TEXT + "more")
    assert len(computations) == 4


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_changed_model_is_scored_again(folder: Path, computations: list, file: str) -> None:
    KeptModel(folder).score(TEXT)
    path = folder / file
    if file.endswith(".json"):  # the same values, but other bytes
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")), indent=3), "utf-8")
    else:
        model = KeptModel(folder).model
        model.lm_head.weight.data *= 1.01
        model.save_pretrained(folder)
    KeptModel(folder).score(TEXT)
    assert len(computations) == 2


def test_changed_code_scores_again(
    folder: Path, computations: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    KeptModel(folder).score(TEXT)
    monkeypatch.setattr(kept, "_code_sha256", lambda: "of another version")
    KeptModel(folder).score(TEXT)
    assert len(computations) == 2


def test_a_damaged_file_is_computed_again(folder: Path, computations: list) -> None:
    first = KeptModel(folder).score(TEXT)
    (path,) = kept.FOLDER.glob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    assert np.array_equal(KeptModel(folder).score(TEXT).nats, first.nats)
    assert len(computations) == 2
