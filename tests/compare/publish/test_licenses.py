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


def test_models_made_here_from_public_domain_text_are_mit(folder: Path) -> None:
    scratch = tuned(folder).model_copy(update={"track": Track.SCRATCH, "base": None})
    stand_in = tuned(folder, kind=BaseKind.STAND_IN)
    for record in (scratch, stand_in, tuned(folder, kind=BaseKind.GPT2)):
        assert licenses.find_license(record) == ({"license": "mit"}, "")


@pytest.mark.parametrize("kind", [None, *BaseKind])
def test_the_license_of_another_text_is_left_to_the_user(
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


def test_a_base_may_state_its_license_in_its_configuration(folder: Path) -> None:
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
def test_no_license_is_stated_if_none_can_be_read(folder: Path, text: str) -> None:
    card(folder, text)
    terms, reason = licenses.find_license(tuned(folder))
    assert not terms and "some/base" in reason


def test_a_directory_named_gpt2_is_not_taken_for_gpt2(folder: Path) -> None:
    for name in ("gpt2", "stand-in-3.7m"):
        record = tuned(folder, resolved=name, revision=None, source="directory")
        assert not licenses.find_license(record)[0]


def test_another_model_in_the_folder_of_the_base_says_nothing_about_it(folder: Path) -> None:
    card(folder, "license: mit")
    run = tuned(folder)
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert not licenses.find_license(run)[0]


def test_the_license_files_of_the_base_are_found(folder: Path) -> None:
    run = tuned(folder)
    assert licenses.license_files(run) == []
    for name in ("LICENSE", "LICENSE.txt", "LICENSE-MIT.md", "NOTICE", "LICENSE.py", "licenses.md"):
        (folder / name).write_text(name, "utf-8")
    names = [file.name for file in licenses.license_files(run)]
    assert names == ["LICENSE", "LICENSE-MIT.md", "LICENSE.txt", "NOTICE"]
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert licenses.license_files(run) == []


@pytest.mark.parametrize("sha256", [TINY_SHAKESPEARE_SHA256, "0" * 64])
def test_models_that_contain_this_projects_code_or_weights_bring_its_license(
    folder: Path, sha256: str
) -> None:
    stand_in = tuned(folder, kind=BaseKind.STAND_IN)
    for record in (stand_in, make_record(Track.SCRATCH)):
        record.corpus = on("text", sha256)
        (file,) = licenses.license_files(record)
        assert file.name == "LICENSE" and "MIT License" in file.read_text("utf-8")


def test_a_license_is_linked_if_its_address_is_known() -> None:
    assert licenses.link_to({"license": "apache-2.0"}) == licenses.TEXTS["apache-2.0"]
    other = {"license": "other", "license_link": "https://example.org/opt"}
    assert licenses.link_to(other) == "https://example.org/opt"
    assert licenses.link_to(other | {"license_link": "https://example.org/) [x]("}) is None
    assert licenses.link_to({"license": "other"}) is licenses.link_to({}) is None


def test_front_matter_without_a_license_is_valid(folder: Path) -> None:
    for terms in ({}, {"license": "mit"}):
        data = metadata("a/b", tuned(folder), SCORES, terms)
        read = ModelCard(f"---\n{data.to_yaml()}\n---\n")
        assert read.data.license == terms.get("license")  # type: ignore[attr-defined]
        assert ("license" in data.to_yaml()) == bool(terms)


def test_the_base_is_named_as_on_the_hub_or_not_at_all(folder: Path) -> None:
    def base_model(**differing: Any) -> str | None:
        return metadata("a/b", tuned(folder, **differing), SCORES, {}).base_model

    assert base_model() == "some/base"
    assert base_model(revision=None) is None  # a directory of that name
    quantized = {"resolved": "Base (Q4_1)", "revision": None, "version_of": "some/base"}
    assert base_model(**quantized) == "some/base"


def test_a_file_named_like_a_dataset_is_not_taken_for_it(folder: Path) -> None:
    run = tuned(folder)
    assert metadata("a/b", run, SCORES, {}).datasets == ["karpathy/tiny_shakespeare"]
    run.config, run.corpus = {"corpus": "my/wikitext-2"}, on("wikitext-2", "0")
    assert metadata("a/b", run, SCORES, {}).datasets is None


def test_an_impossible_license_is_refused() -> None:
    for wrong in ("", "MIT License", "mit\nx: y"):
        with pytest.raises(ValueError, match="--license"):
            PublishOptions(license=wrong)
