"""A small model that was trained for a second, as a hand-in that tests may tamper with."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import dynamic_module_utils

from compare import corpus as corpora
from compare import files
from compare.corpus import Corpus
from compare.corpus.encoding import token_ids
from compare.kinds import Track
from compare.ruler.parameters import Parameters
from compare.ruler.scoring import score
from compare.runs import models
from compare.runs.record import CorpusRecord, Epoch, RunRecord, write_record
from compare.runs.subjects import find_subject
from compare.verify import generation
from compare.verify.check import Settings, verify
from compare.verify.points import Point, Verification
from scratch_lm.model import ScratchConfig, ScratchLM
from scratch_lm.tokenizer import train_tokenizer
from tests.run_records import make_record

CONTEXT_LENGTH = 32
Check = Callable[..., Verification]


@pytest.fixture(scope="session")
def corpus(mini_text: Path) -> Corpus:
    return corpora.load(str(mini_text))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Path:
    """Return the directory of a ScratchLM that has learned something; tests must not change it."""
    path = tmp_path_factory.mktemp("trained") / "model"
    train(path, corpus, corpus.train, steps=150)
    return path


@pytest.fixture(scope="session")
def leaked(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Path:
    """Return the directory of a model that was trained on the validation and test splits alone."""
    path = tmp_path_factory.mktemp("leaked") / "model"
    train(path, corpus, corpus.validation + corpus.test, steps=500)
    return path


def train(path: Path, corpus: Corpus, text: str, steps: int) -> None:
    """Train a small ScratchLM on `text`, and save it in directory `path`."""
    tokenizer = train_tokenizer(corpus.train, 400, CONTEXT_LENGTH)
    config = ScratchConfig(
        vocab_size=400,
        max_position_embeddings=CONTEXT_LENGTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        hidden_size=32,
        intermediate_size=64,
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ScratchLM(config)
        ids = torch.from_numpy(token_ids(tokenizer, text).astype("int64"))
        optimizer = torch.optim.AdamW(model.parameters(), 0.01)
        for _ in range(steps):
            starts = torch.randint(len(ids) - CONTEXT_LENGTH, (16,)).tolist()
            batch = torch.stack([ids[start : start + CONTEXT_LENGTH] for start in starts])
            model(input_ids=batch, labels=batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)


@pytest.fixture
def hand_in(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of the trained model, which a test may change."""
    # transformers names the modules of trusted code after the directory.
    return Path(shutil.copytree(trained, tmp_path / f"hand_in_{tmp_path.name}"))


@pytest.fixture
def check(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return a function that checks a hand-in on the miniature text, with short samples."""
    monkeypatch.setattr(generation, "CHARACTERS", 20)
    usual = Settings(corpus, None, False, False, None, 1, "cpu")

    def check(what: Path | str, **differing: Any) -> Verification:
        return verify(find_subject(str(what)), replace(usual, **differing))

    return check


@pytest.fixture
def run(trained: Path, tmp_path: Path, mini_text: Path, corpus: Corpus) -> Path:
    """Return the directory of a complete run whose record is true."""
    path = tmp_path / "runs" / "mine"
    shutil.copytree(trained, path / "model")
    model, tokenizer = models.load(path / "model", device=torch.device("cpu"))
    metrics = score(model, tokenizer, corpus.validation).metrics
    epochs = [
        Epoch(
            epoch=epoch,
            train_loss=5.0,
            characters_seen=epoch,
            seconds=1.0,
            eval=replace(metrics, loss=metrics.loss + (3 - epoch) / 2),
        )
        for epoch in (1, 2, 3)
    ]
    total = model.num_parameters()
    write_record(
        path,
        make_record(
            Track.SCRATCH,
            config={"corpus": str(mini_text)},
            corpus=CorpusRecord.model_validate(corpus.record()),
            epochs=epochs,
            best_epoch=3,
            parameters=Parameters(total=total, non_embedding=total),
            model_sha256=files.checksums(path / "model"),
            trainer_loaded=False,
        ),
    )
    return path


@pytest.fixture
def edit_record(run: Path) -> Callable[..., None]:
    """Return a function that replaces fields of the run's record."""

    def edit(**fields: Any) -> None:
        record = RunRecord.model_validate_json((run / "run.json").read_text("utf-8"))
        write_record(run, record.model_copy(update=fields))

    return edit


@pytest.fixture(autouse=True)
def trusted_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the copies of trusted code that transformers makes out of the user's cache."""
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    yield


def point(verification: Verification, id: str) -> Point:
    """Return one point of what was found."""
    return next(point for point in verification.points if point.id == id)


def verdicts(verification: Verification) -> dict[str, str]:
    """Return the verdict of each point, by id."""
    return {point.id: str(point.verdict) for point in verification.points}
