"""A card states the license if it is known, and none otherwise."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from compare.corpus.sources import TINY_SHAKESPEARE_SHA256
from compare.kinds import BaseKind, Track
from compare.publish import licenses
from compare.publish.__main__ import PublishOptions
from compare.publish.card import metadata
from compare.report.results import TestScores
from compare.runs import models
from compare.runs.record import CorpusRecord, RunRecord
from tests.run_records import BASE, CORPUS, make_metrics, make_record

SCORES = TestScores(**asdict(make_metrics()), ci95=(2.5, 3.2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the directory of a base without a card."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}", "utf-8")
    return tmp_path


def tuned(folder: Path, **differing: Any) -> RunRecord:
    """Return the record of a run that fine-tuned the base in `folder` on Tiny Shakespeare."""
    base = BASE.model_copy(
        update={"folder": str(folder), "weights_sha256": models.weights_sha256(folder)} | differing
    )
    return make_record(
        Track.GPT2,
        config={"corpus": "tiny-shakespeare"},
        corpus=on("tiny-shakespeare", TINY_SHAKESPEARE_SHA256),
        base=base,
    )


def on(name: str, sha256: str) -> CorpusRecord:
    """Return the record of a corpus with this name and checksum."""
    return CORPUS.model_copy(update={"name": name, "sha256": sha256})


def card(folder: Path, text: str) -> None:
    (folder / "README.md").write_text(f"---\n{text}\n---\n# A base\n", "utf-8")


def test_what_is_made_here_from_public_domain_text_is_mit(folder: Path) -> None:
    scratch = tuned(folder).model_copy(update={"track": Track.SCRATCH, "base": None})
    stand_in = tuned(folder, kind=BaseKind.STAND_IN)
    for record in (scratch, stand_in, tuned(folder, kind=BaseKind.GPT2)):
        assert licenses.find_license(record) == ({"license": "mit"}, "")


@pytest.mark.parametrize("kind", [None, *BaseKind])
def test_the_terms_of_another_text_are_the_users_to_state(
    folder: Path, kind: BaseKind | None
) -> None:
    record = tuned(folder, kind=kind)
    if kind is None:
        record.base = None
    for name in ("my-novel.txt", "wikitext-2", "tiny-shakespeare"):  # a file may be called so
        record.corpus = on(name, "0" * 64)
        terms, reason = licenses.find_license(record)
        assert not terms and name in reason


def test_a_bases_own_license_is_read_from_its_card(folder: Path) -> None:
    card(folder, "license: apache-2.0\nlanguage: en")
    assert licenses.find_license(tuned(folder))[0] == {"license": "apache-2.0"}
    card(folder, "license: other\nlicense_name: opt\nlicense_link: https://example.org/opt")
    assert licenses.find_license(tuned(folder))[0] == {
        "license": "other",
        "license_name": "opt",
        "license_link": "https://example.org/opt",
    }
    card(folder, "license: other\nlicense_link: LICENSE.md")  # of a repository that is not ours
    assert licenses.find_license(tuned(folder))[0] == {"license": "other"}


def test_or_from_its_configuration(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"license": "bigscience-openrail-m"}), "utf-8")
    assert licenses.find_license(tuned(folder))[0] == {"license": "bigscience-openrail-m"}
    card(folder, "license: mit")
    assert licenses.find_license(tuned(folder))[0] == {"license": "mit"}


@pytest.mark.parametrize(
    "text",
    [
        "language: en",
        "license: [mit",
        "license: [mit, gpl]",
        "[]",
        "license: Ask me first",
        "license: 3",
        "\u0000",
    ],
)
def test_none_is_stated_where_none_can_be_read(folder: Path, text: str) -> None:
    card(folder, text)
    terms, reason = licenses.find_license(tuned(folder))
    assert not terms and "some/base" in reason


def test_a_directory_is_not_gpt2_because_it_is_called_so(folder: Path) -> None:
    for name in ("gpt2", "stand-in-3.7m"):
        record = tuned(folder, resolved=name, revision=None, source="directory")
        assert not licenses.find_license(record)[0]


def test_another_model_in_the_bases_place_says_nothing_of_the_base(folder: Path) -> None:
    card(folder, "license: mit")
    run = tuned(folder)
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert not licenses.find_license(run)[0]


def test_front_matter_without_a_license_is_valid(folder: Path) -> None:
    for terms in ({}, {"license": "mit"}):
        data = metadata("a/b", tuned(folder), SCORES, terms)
        read = ModelCard(f"---\n{data.to_yaml()}\n---\n")
        assert read.data.license == terms.get("license")
        assert ("license" in data.to_yaml()) == bool(terms)


def test_the_base_is_named_as_on_the_hub_or_not_at_all(folder: Path) -> None:
    def base_model(**differing: Any) -> str | None:
        return metadata("a/b", tuned(folder, **differing), SCORES, {}).base_model

    assert base_model() == "some/base"
    assert base_model(revision=None) is None  # a directory of that name
    quantized = {"resolved": "Base (Q4_1)", "revision": None, "version_of": "some/base"}
    assert base_model(**quantized) == "some/base"


def test_a_file_called_like_a_data_set_is_not_said_to_be_it(folder: Path) -> None:
    run = tuned(folder)
    assert metadata("a/b", run, SCORES, {}).datasets == ["karpathy/tiny_shakespeare"]
    run.config, run.corpus = {"corpus": "my/wikitext-2"}, on("wikitext-2", "0")
    assert metadata("a/b", run, SCORES, {}).datasets is None


def test_an_impossible_license_is_refused() -> None:
    for wrong in ("", "MIT License", "mit\nx: y"):
        with pytest.raises(ValueError, match="--license"):
            PublishOptions(license=wrong)
